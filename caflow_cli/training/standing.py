"""Where a run stands, and how it ended."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from .config import OptimConfig

__all__ = ["Standing", "Summary"]

_SMOOTHING = 0.02  # of the running loss


@dataclass
class Standing:
    """What a state says beside its tensors and the guard."""

    step: int = 0  # steps made
    elapsed: float = 0.0  # seconds, over all sessions of the run
    best: float = math.inf  # validation bits/dim
    running: float = math.nan  # mean of the training loss's first term, live weights
    validations: int = 0
    lr_scale: float = 1.0  # halved by each way back

    def record(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def restore(self, record: dict[str, Any]) -> None:
        for field in dataclasses.fields(self):
            setattr(self, field.name, record[field.name])

    def images(self, optim: OptimConfig) -> int:
        """Images seen."""
        return self.step * optim.batch_size

    def progress(self, optim: OptimConfig) -> float:
        """Share of the budget that is spent; from 1 on the run ends."""
        if optim.images is not None:
            return self.images(optim) / optim.images
        assert optim.minutes is not None, "OptimConfig checks that there is a budget"
        return self.elapsed / (60 * optim.minutes)

    def take_loss(self, bits_per_dim: float, taken: int) -> None:
        """Into the running mean: the loss of the step that is the `taken`th to be taken."""
        rate = max(_SMOOTHING, 2 / (taken + 1))  # the first losses are soon forgotten
        previous = self.running if taken > 1 else 0.0
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
