"""From the rows of pictures to means, standard errors, paired differences and histograms."""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from dataclasses import dataclass, field

import torch

from .estimates import Estimate, Running
from .metrics import coverage
from .plan import Cell, Plan
from .result import ALL, Gap, Result
from .rows import Row, draws_at, ranked

__all__ = ["Summary"]

_COMPARED = ("lpips", "rmse", "psnr", "ssim", "consistency", "seam")  # per candidate


class _Means:
    """A running mean by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Running] = defaultdict(Running)

    def add(self, name: str, value: float | None) -> None:
        self._by_name[name].add(value)

    @property
    def estimates(self) -> dict[str, Estimate]:
        return {name: running.estimate for name, running in self._by_name.items()}


@dataclass
class _CellSums:
    kept: _Means = field(default_factory=_Means)
    everything: _Means = field(default_factory=_Means)
    minus_all: _Means = field(default_factory=_Means)
    minus_baseline: _Means = field(default_factory=_Means)
    ranks: torch.Tensor | None = None
    coverage_50: Running = field(default_factory=Running)


@dataclass
class _GapSums:
    above: Running = field(default_factory=Running)
    difference: Running = field(default_factory=Running)
    truths: array[float] = field(default_factory=lambda: array("d"))
    candidates: array[float] = field(default_factory=lambda: array("d"))

    def add(self, truth: float, candidates: list[float]) -> None:
        self.above.add(float(truth > max(candidates)))
        self.difference.add(truth - sum(candidates) / len(candidates))
        self.truths.append(truth)
        self.candidates.extend(candidates)


class Summary:
    """Accumulates rows one by one. All that it keeps of each is its log-likelihoods, if asked."""

    def __init__(self, plan: Plan, baseline: str | None) -> None:
        self._plan = plan
        self._baseline_name = baseline
        self._cells = {cell: _CellSums() for cell in plan.cells} if plan.draws else {}
        self._baseline = _Means()
        self._bpd = Running()
        self._noise = 0.0  # sum of the squared errors of K draws each, bits/dim
        self._gaps: dict[float, _GapSums] = defaultdict(_GapSums)
        self.count = 0

    def add(self, row: Row) -> None:
        """A picture."""
        self.count += 1
        for name, value in row.get("baseline", {}).items():
            self._baseline.add(name, value)
        if "truth" in row:
            truth = row["truth"]
            self._bpd.add(truth["bits_per_dim"])
            if "standard_error" in truth:
                bits = truth["standard_error"] * truth["bits_per_dim"] / truth["log_likelihood"]
                self._noise += bits**2
        for cell, sums in self._cells.items():
            self._add_cell(row, cell, sums)
        if "likelihood" in self._plan.metrics:
            truth = row["truth"]["log_likelihood"]
            for draw in row["draws"]:
                self._gaps[draw["tau"]].add(
                    truth, [c["log_likelihood"] for c in draw["candidates"]]
                )

    def _add_cell(self, row: Row, cell: Cell, sums: _CellSums) -> None:
        draw = draws_at(row, cell.tau)
        order = ranked(draw["candidates"], cell.m)
        baseline = row.get("baseline", {})
        for name in _COMPARED:
            if name not in order[0]:
                continue
            kept = _mean([c[name] for c in order[: cell.n]])
            everything = _mean([c[name] for c in order])
            sums.kept.add(name, kept)
            sums.everything.add(name, everything)
            if kept is None or everything is None:
                continue
            sums.minus_all.add(name, kept - everything)
            if baseline.get(name) is not None:
                sums.minus_baseline.add(name, kept - baseline[name])
        if "likelihood" in self._plan.metrics:
            above = row["truth"]["log_likelihood"] > order[0]["log_likelihood"]
            sums.kept.add("likelihood", float(above))
        if str(cell.m) in draw.get("diversity", {}):
            sums.kept.add("diversity", draw["diversity"][str(cell.m)])
        if "ranks" in draw:
            ranks = torch.tensor(draw["ranks"][str(cell.m)], dtype=torch.float64)
            sums.ranks = ranks if sums.ranks is None else sums.ranks + ranks
            sums.kept.add("calibration", coverage(ranks, 0.9))
            sums.coverage_50.add(coverage(ranks, 0.5))

    def results(self, cell: Cell) -> list[Result]:
        """Of one setting: the N kept of each picture, and beside them the mean of all M."""
        sums = self._cells[cell]
        kept = Result("model", dict(sums.kept.estimates), cell)
        for against, means in (
            (ALL, sums.minus_all),
            (self._baseline_name, sums.minus_baseline),
        ):
            if (
                against is not None
                and means.estimates
                and not (against == ALL and cell.m == cell.n)
            ):
                kept.differences[against] = means.estimates
        if sums.ranks is not None:
            kept.extra["rank_histogram"] = (sums.ranks / self.count).tolist()
            kept.extra["coverage_50"] = sums.coverage_50.estimate.as_json()
        if not sums.everything.estimates or cell.m == cell.n:
            return [kept]
        return [kept, Result(ALL, sums.everything.estimates, cell)]

    @property
    def baseline(self) -> dict[str, Estimate]:
        return self._baseline.estimates

    @property
    def truth(self) -> Result | None:
        """Bits/dim; and, of its standard error, what the noise draws contribute (K > 1)."""
        if "bpd" not in self._plan.metrics:
            return None
        result = Result("truth", {"bpd": self._bpd.estimate})
        if self._plan.noise_samples > 1:
            result.extra["noise_standard_error"] = math.sqrt(self._noise) / self.count
        return result

    @property
    def gaps(self) -> list[Gap]:
        """One for each temperature that was drawn at, with the largest M."""
        return [
            Gap(
                tau,
                self._plan.most,
                sums.above.estimate,
                sums.difference.estimate,
                sums.truths,
                sums.candidates,
            )
            for tau, sums in self._gaps.items()
        ]


def _mean(values: list[float | None]) -> float | None:
    """None, infinity, where one of them is."""
    finite = [v for v in values if v is not None]
    return sum(finite) / len(finite) if len(finite) == len(values) else None
