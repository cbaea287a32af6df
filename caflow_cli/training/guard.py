"""Protection from bad steps: they are not taken, and many lead back to the last good state."""

from __future__ import annotations

import copy
import math
from typing import Any, Protocol

__all__ = ["Guard"]

_BAD_IN_A_ROW = 20  # so many bad steps, and the run goes back
_ROLLBACKS = 5  # to one and the same state; then it is given up
_JUMP = 1.0  # bits/dim above the running mean: a bad step
_SMOOTHING = 0.05  # of the running mean


class _Part(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


class Guard:
    """Judges every step, and keeps a copy of the last state known to be good.

    A step is bad, and not taken, when its loss or the norm of its gradient is not finite, or the
    loss lies more than 1 bit/dim above its running mean. After 20 bad steps in a row weights, EMA
    and optimiser go back to the copy. The copy is of a state that the run has written, made once
    the next good loss has shown that its weights are sound.
    """

    def __init__(self, parts: dict[str, _Part]) -> None:
        self._parts = parts
        self._copy: dict[str, Any] | None = None
        self._copy_mean: float | None = None
        self._returns = 0  # to this copy
        self._due = False
        self.bad_in_a_row = 0
        self.mean: float | None = None  # running mean of the loss, bits/dim
        self.skipped = 0
        self.rollbacks = 0

    def accepts(self, loss: float, grad_norm: float) -> bool:
        """Whether to take the step; counts it either way."""
        jumped = self.mean is not None and loss > self.mean + _JUMP
        if not math.isfinite(loss) or not math.isfinite(grad_norm) or jumped:
            self.skipped += 1
            self.bad_in_a_row += 1
            return False
        if self._copy is None or self._due:  # these weights have just shown a good loss
            self.remember()
        self.bad_in_a_row = 0
        self.mean = loss if self.mean is None else self.mean + _SMOOTHING * (loss - self.mean)
        return True

    def state_written(self) -> None:
        """Take the present weights as the ones to go back to, if their next loss is good."""
        self._due = True

    def remember(self) -> None:
        """Copy the present state as the one to go back to."""
        self._copy = {name: copy.deepcopy(part.state_dict()) for name, part in self._parts.items()}
        self._copy_mean = self.mean
        self._returns = 0
        self._due = False

    def forget(self) -> None:
        """Drop mean and copy: the losses to come are of another kind."""
        self.mean = self._copy_mean = self._copy = None
        self._due = False

    def wants_rollback(self) -> bool:
        return self.bad_in_a_row >= _BAD_IN_A_ROW

    def roll_back(self) -> bool:
        """Restore the copy. False: there is none, or it was restored 5 times without success."""
        if self._copy is None or self._returns >= _ROLLBACKS:
            return False
        for name, part in self._parts.items():
            part.load_state_dict(copy.deepcopy(self._copy[name]))
        self.mean = self._copy_mean
        self.bad_in_a_row = 0
        self._due = False
        self._returns += 1
        self.rollbacks += 1
        return True

    def record(self) -> dict[str, Any]:
        """The figures that a state holds; `restore` takes them back."""
        return {
            "mean": self.mean,
            "bad_in_a_row": self.bad_in_a_row,
            "skipped": self.skipped,
            "rollbacks": self.rollbacks,
            "returns": self._returns,
        }

    def restore(self, record: dict[str, Any]) -> None:
        self.mean, self.bad_in_a_row = record["mean"], record["bad_in_a_row"]
        self.skipped, self.rollbacks = record["skipped"], record["rollbacks"]
        self._returns = record["returns"]
