"""Means, ratios and paired differences of everything that a benchmark compares."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..tasks import Picture
from .estimates import RunningMean, RunningRatio
from .problems import Problem
from .result import Result
from .settings import Cell

__all__ = ["Contestant", "Found", "Tally"]


@dataclass(frozen=True, eq=False)
class Contestant:
    """A way to restore a picture."""

    what: str  # as a row says it
    restore: Callable[[Problem], Picture]
    cell: Cell | None = None
    is_baseline: bool = False


@dataclass(frozen=True, eq=False)
class Found:
    """A restored picture, and what was measured of it."""

    image: Picture
    values: dict[str, float]  # that have a mean over pictures
    ratios: dict[str, tuple[float, float]]  # of which sums over pictures are divided


class Tally:
    """Means, ratios and paired differences of all contestants."""

    def __init__(self, contestants: Sequence[Contestant]) -> None:
        self.count = 0
        self._rows = [_Row(contestant) for contestant in contestants]

    def add(self, found: Sequence[Found]) -> None:
        """Add a picture, as all contestants restored it."""
        self.count += 1
        for row, own in zip(self._rows, found, strict=True):
            for name, value in own.values.items():
                row.means[name].add(value)
            for name, (over, under) in own.ratios.items():
                row.ratios[name].add(over, under)
            if row.contestant.is_baseline:
                continue
            for other, theirs in zip(self._rows, found, strict=True):
                if other.contestant.is_baseline:
                    row.subtract(other.contestant.what, own, theirs)

    @property
    def results(self) -> list[Result]:
        return [row.result for row in self._rows]


@dataclass(eq=False)
class _Row:
    """The sums of one contestant."""

    contestant: Contestant
    means: dict[str, RunningMean] = field(default_factory=lambda: defaultdict(RunningMean))
    ratios: dict[str, RunningRatio] = field(default_factory=lambda: defaultdict(RunningRatio))
    differences: dict[str, dict[str, RunningMean]] = field(default_factory=dict)

    def subtract(self, what: str, own: Found, theirs: Found) -> None:
        """Add the differences from a baseline on one picture."""
        means = self.differences.setdefault(what, defaultdict(RunningMean))
        for name, value in own.values.items():
            if math.isfinite(value) and math.isfinite(theirs.values[name]):
                means[name].add(value - theirs.values[name])

    @property
    def result(self) -> Result:
        values = {name: mean.estimate for name, mean in self.means.items()}
        for name, ratio in self.ratios.items():
            if (estimate := ratio.estimate) is not None:
                values[name] = estimate
        differences = {
            what: {name: mean.estimate for name, mean in means.items()}
            for what, means in self.differences.items()
        }
        return Result(self.contestant.what, values, self.contestant.cell, differences)
