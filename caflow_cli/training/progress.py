"""The progress of a run, and the summary at its end."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .config import OptimConfig

__all__ = ["Progress", "RunSummary"]

_SMOOTHING = 0.02  # of the running loss


@dataclass
class Progress:
    """The progress of a run, as its states hold it."""

    step: int = 0  # steps made
    elapsed: float = 0.0  # seconds, over all sessions of the run
    best: float = math.inf  # loss on validation pictures in this phase, and
    best_bits_per_dim: float = math.inf  # the bits/dim of that model
    running: float = math.nan  # mean training bits/dim of the live weights,
    losses: int = 0  # over so many steps
    validations: int = 0
    lr_scale: float = 1.0  # halved by each return to an earlier state

    def record(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def restore(self, record: Mapping[str, Any]) -> None:
        for field in dataclasses.fields(self):
            setattr(self, field.name, record.get(field.name, field.default))
        if "best_bits_per_dim" not in record:  # of before draws taught
            self.best_bits_per_dim = self.best

    def images(self, optim: OptimConfig) -> int:
        """Images seen."""
        return self.step * optim.batch_size

    def spent(self, optim: OptimConfig) -> float:
        """The share of the budget that is spent. The run ends at 1."""
        if optim.images is not None:
            return self.images(optim) / optim.images
        assert optim.minutes is not None, "OptimConfig checks that there is a budget"
        return self.elapsed / (60 * optim.minutes)

    def take_loss(self, bits_per_dim: float) -> None:
        """Add a step's bits/dim to the running mean."""
        self.losses += 1
        rate = max(_SMOOTHING, 2 / (self.losses + 1))  # the first losses are soon forgotten
        previous = self.running if self.losses > 1 else 0.0
        self.running = previous + rate * (bits_per_dim - previous)

    def forget_losses(self) -> None:
        """Restart the running mean with the next loss, which is of another kind."""
        self.losses = 0


@dataclass(frozen=True)
class RunSummary:
    """The figures of a run at its end.

    All bits/dim are those of the averaged weights, with the same fixed noise, on as many training
    pictures as validation pictures. So the gap shows how much better the model knows its training
    pictures.
    """

    steps: int
    images: int
    minutes: float
    images_per_second: float
    train_bits_per_dim: float
    val_bits_per_dim: float
    gap_bits_per_dim: float  # validation minus training
    best_val_bits_per_dim: float  # of best.safetensors
    val_picture_loss: float | None  # of draws, where they taught
    skipped_steps: int
    rollbacks: int
