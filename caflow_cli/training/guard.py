"""What keeps a run alive: skipped steps, and the way back to the last good state."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

__all__ = ["Guard"]

_BAD_IN_A_ROW = 20  # so many bad steps, and the run goes back
_SNAPSHOT_EVERY = 200  # good steps
_JUMP = 1.0  # bits/dim above the running mean: a bad step
_SMOOTHING = 0.05  # of the running mean


class Guard:
    """Judges every step, and keeps a copy of the last state known to be good.

    A step is bad, and not taken, when its loss or the norm of its gradient is not finite or the
    loss lies more than 1 bit/dim above its running mean. After 20 bad steps in a row weights, EMA
    and optimiser go back to the copy, and the learning rate is halved.
    """

    def __init__(self, parts: dict[str, nn.Module | torch.optim.Optimizer]) -> None:
        self._parts = parts
        self._snapshot: dict[str, Any] | None = None
        self._good, self._bad_in_a_row = 0, 0
        self.mean: float | None = None  # running mean of the loss, bits/dim
        self.skipped = 0
        self.rollbacks = 0

    def accepts(self, loss: float, grad_norm: float) -> bool:
        """Whether to take the step; counts it either way."""
        jumped = self.mean is not None and loss > self.mean + _JUMP
        if not math.isfinite(loss) or not math.isfinite(grad_norm) or jumped:
            self.skipped += 1
            self._bad_in_a_row += 1
            return False
        self._bad_in_a_row = 0
        self.mean = loss if self.mean is None else self.mean + _SMOOTHING * (loss - self.mean)
        return True

    def after_step(self) -> None:
        """Call once a step was taken: now and then the state is copied."""
        if self._good % _SNAPSHOT_EVERY == 0:
            self._snapshot = {k: copy.deepcopy(p.state_dict()) for k, p in self._parts.items()}
            self._snapshot_mean = self.mean
        self._good += 1

    def wants_rollback(self) -> bool:
        return self._bad_in_a_row >= _BAD_IN_A_ROW

    def roll_back(self) -> bool:
        """Restore the copy. False: there is none, the run never was good."""
        if self._snapshot is None:
            return False
        for key, part in self._parts.items():
            part.load_state_dict(copy.deepcopy(self._snapshot[key]))
        self.mean = self._snapshot_mean
        self._bad_in_a_row = 0
        self.rollbacks += 1
        return True
