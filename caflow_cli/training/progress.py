"""Where a run stands, and how it ended."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from .config import OptimConfig
from .schedule import learning_rate

__all__ = ["Standing", "Summary"]

_SMOOTHING = 0.02  # of the running loss


@dataclass
class Standing:
    """What a state says beside its tensors and the guard."""

    step: int = 0  # steps made
    elapsed: float = 0.0  # seconds, over all sessions of the run
    best: float = math.inf  # validation bits/dim
    running: float = math.nan  # mean of the training loss's first term, live weights,
    losses: int = 0  # over so many
    validations: int = 0
    lr_scale: float = 1.0  # halved by each way back
    guide_alone: bool = False  # learns: the first part of a run with `guide_first`
    guide_steps: int = 0  # that it made so

    def record(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def restore(self, record: dict[str, Any]) -> None:
        for field in dataclasses.fields(self):
            setattr(self, field.name, record.get(field.name, field.default))

    def images(self, optim: OptimConfig) -> int:
        """Images seen."""
        return self.step * optim.batch_size

    def progress(self, optim: OptimConfig) -> float:
        """Share of the budget that is spent; from 1 on the run ends."""
        if optim.images is not None:
            return self.images(optim) / optim.images
        assert optim.minutes is not None, "OptimConfig checks that there is a budget"
        return self.elapsed / (60 * optim.minutes)

    def rate(self, optim: OptimConfig, epoch: int) -> float:
        """The learning rate of the next step: a schedule for the guide alone, then one for all."""
        progress, first = self.progress(optim), optim.guide_first
        if self.guide_alone:
            alone = dataclasses.replace(optim, schedule="cosine", lr=optim.guide_first_lr)
            return self.lr_scale * learning_rate(alone, self.step, progress / first, epoch)
        step = self.step - self.guide_steps
        return self.lr_scale * learning_rate(optim, step, (progress - first) / (1 - first), epoch)

    def count_step(self) -> None:
        """A step was made."""
        self.step += 1
        self.guide_steps += self.guide_alone

    def ends_guide_alone(self, optim: OptimConfig) -> bool:
        """Whether all learn from here on, where the guide did alone: for good, for with a larger
        budget its share would be larger too."""
        if not self.guide_alone or self.progress(optim) < optim.guide_first:
            return False
        self.guide_alone = False
        self.losses = 0  # of another kind
        return True

    def take_loss(self, bits_per_dim: float) -> None:
        """Into the running mean."""
        self.losses += 1
        rate = max(_SMOOTHING, 2 / (self.losses + 1))  # the first losses are soon forgotten
        previous = self.running if self.losses > 1 else 0.0
        self.running = previous + rate * (bits_per_dim - previous)


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    bits/dim are of the averaged weights, with the same fixed noise on as many training as
    validation pictures: their difference is what the model knows of its training pictures alone.
    """

    steps: int
    images: int
    minutes: float
    images_per_second: float
    train_bits_per_dim: float
    val_bits_per_dim: float
    gap_bits_per_dim: float  # validation minus training
    best_val_bits_per_dim: float
    skipped_steps: int
    rollbacks: int
