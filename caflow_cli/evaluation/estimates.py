"""Means with standard errors, accumulated one value at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

__all__ = ["Estimate", "RunningMean"]


@dataclass(frozen=True)
class Estimate:
    """A mean over pictures, and how well it is known."""

    mean: float  # infinite where a value was
    standard_error: float | None  # of the mean: s / √n; None below two values
    count: int

    def as_json(self) -> dict[str, Any]:
        """JSON has no infinity: null stands for it."""
        error = self.standard_error
        return {
            "mean": self.mean if math.isfinite(self.mean) else None,
            "standard_error": error if error is not None and math.isfinite(error) else None,
            "count": self.count,
        }


class RunningMean:
    """Mean and variance of a stream (Welford)."""

    def __init__(self) -> None:
        self.count = 0
        self._mean = 0.0
        self._squares = 0.0
        self._infinite = False

    def add(self, value: float | None) -> None:
        """None is infinite, as in a row."""
        self.count += 1
        if value is None or not math.isfinite(value):
            self._infinite = True
            return
        delta = value - self._mean
        self._mean += delta / self.count
        self._squares += delta * (value - self._mean)

    @property
    def estimate(self) -> Estimate:
        """The estimate so far; of nothing, a mean of 0 over 0 values."""
        if self._infinite:
            return Estimate(math.inf, None, self.count)
        error = None
        if self.count > 1:
            error = math.sqrt(self._squares / (self.count - 1) / self.count)
        return Estimate(self._mean, error, self.count)
