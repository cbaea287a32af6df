"""Means with standard errors, accumulated one value at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

__all__ = ["Estimate", "RunningMean", "RunningRatio"]


@dataclass(frozen=True)
class Estimate:
    """A mean over pictures, with its standard error."""

    mean: float  # infinite where a value was
    standard_error: float | None  # of the mean: s / √n; None below two values
    count: int

    def as_json(self) -> dict[str, Any]:
        """Convert for JSON, where null stands for infinity."""
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
        """Add a value; None means infinite, as in a row."""
        self.count += 1
        if value is None or not math.isfinite(value):
            self._infinite = True
            return
        delta = value - self._mean
        self._mean += delta / self.count
        self._squares += delta * (value - self._mean)

    @property
    def estimate(self) -> Estimate:
        """The estimate so far; without values, a mean of 0 over 0 values."""
        if self._infinite:
            return Estimate(math.inf, None, self.count)
        error = None
        if self.count > 1:
            error = math.sqrt(self._squares / (self.count - 1) / self.count)
        return Estimate(self._mean, error, self.count)


class RunningRatio:
    """The ratio of two means, `r = Σ a / Σ b`, over pictures with a value a and a value b each.

    Its standard error is that of the mean of `a - r b`, over the mean of b (the delta method).
    """

    def __init__(self) -> None:
        self.count = 0
        self._a = self._b = self._aa = self._ab = self._bb = 0.0

    def add(self, a: float, b: float) -> None:
        """Add a picture's values."""
        self.count += 1
        self._a += a
        self._b += b
        self._aa += a * a
        self._ab += a * b
        self._bb += b * b

    @property
    def estimate(self) -> Estimate | None:
        """The estimate so far; None while Σ b is 0."""
        if not self._b:
            return None
        ratio, error = self._a / self._b, None
        if self.count > 1:
            squares = max(0.0, self._aa - 2 * ratio * self._ab + ratio * ratio * self._bb)
            error = math.sqrt(squares * self.count / (self.count - 1)) / self._b
        return Estimate(ratio, error, self.count)
