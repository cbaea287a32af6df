"""Means, standard errors, paired differences and histograms, computed from rows of pictures."""

from __future__ import annotations

import math
from array import array
from collections import defaultdict
from dataclasses import dataclass, field

import torch

from ..temperature import Temperature
from .estimates import Estimate, RunningMean
from .metrics.formulas import central_share
from .picture_row import PictureRow
from .result import ALL, LIKELIEST, LikelihoodGap, Result
from .settings import Cell, EvaluationSettings

__all__ = ["RowSummary"]

# Per candidate.
_COMPARED = ("lpips", "rmse", "psnr", "ssim", "psnr_y", "ssim_y", "consistency", "seam")


class _Means:
    """A running mean for each name."""

    def __init__(self) -> None:
        self._by_name: dict[str, RunningMean] = defaultdict(RunningMean)

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
    minus_likeliest: _Means = field(default_factory=_Means)
    rank_histogram: torch.Tensor | None = None  # summed over pictures
    coverage_50: RunningMean = field(default_factory=RunningMean)


@dataclass
class _GapSums:
    above: RunningMean = field(default_factory=RunningMean)
    difference: RunningMean = field(default_factory=RunningMean)
    truths: array[float] = field(default_factory=lambda: array("d"))
    candidates: array[float] = field(default_factory=lambda: array("d"))

    def add(self, truth: float, candidates: list[float]) -> None:
        self.above.add(float(truth > max(candidates)))
        self.difference.add(truth - sum(candidates) / len(candidates))
        self.truths.append(truth)
        self.candidates.extend(candidates)


class RowSummary:
    """Accumulates rows one by one. It keeps only their log-likelihoods, if those are needed."""

    def __init__(self, settings: EvaluationSettings, baseline: str | None) -> None:
        self._settings = settings
        self._baseline_name = baseline
        self._cells = {cell: _CellSums() for cell in settings.cells} if settings.draws else {}
        self._baseline = _Means()
        self._bpd = RunningMean()
        self._noise = 0.0  # sum of the squared errors of K draws each, bits/dim
        self._gaps: dict[Temperature, _GapSums] = defaultdict(_GapSums)
        self.count = 0

    def add(self, row: PictureRow) -> None:
        """Add a picture."""
        self.count += 1
        for name, value in (row.baseline or {}).items():
            self._baseline.add(name, value)
        truth = row.truth
        if truth is not None:
            self._bpd.add(truth.bits_per_dim)
            if truth.standard_error is not None:
                bits = truth.standard_error * truth.bits_per_dim / truth.log_likelihood
                self._noise += bits**2
        for cell, sums in self._cells.items():
            self._add_cell(row, cell, sums)
        if "likelihood" in self._settings.metrics:
            assert truth is not None  # scored where likelihoods are asked for
            for draws in row.draws:
                self._gaps[draws.tau].add(
                    truth.log_likelihood, [c.log_likelihood for c in draws.candidates]
                )

    def _add_cell(self, row: PictureRow, cell: Cell, sums: _CellSums) -> None:
        draws = row.draws_at(cell.tau)
        order = draws.ranked(cell.m, cell.rank)
        likeliest = draws.ranked(cell.m)
        baseline = row.baseline or {}
        for name in _COMPARED:
            if name not in order[0].values:
                continue
            kept = _mean([c.values[name] for c in order[: cell.n]])
            everything = _mean([c.values[name] for c in order])
            sums.kept.add(name, kept)
            sums.everything.add(name, everything)
            if kept is None or everything is None:
                continue
            sums.minus_all.add(name, kept - everything)
            by_likelihood = _mean([c.values[name] for c in likeliest[: cell.n]])
            if cell.rank != "likelihood" and by_likelihood is not None:
                sums.minus_likeliest.add(name, kept - by_likelihood)
            base = baseline.get(name)
            if base is not None:
                sums.minus_baseline.add(name, kept - base)
        if "likelihood" in self._settings.metrics and row.truth is not None:
            above = row.truth.log_likelihood > likeliest[0].log_likelihood
            sums.kept.add("likelihood", float(above))
        if draws.diversity is not None and cell.m in draws.diversity:
            sums.kept.add("diversity", draws.diversity[cell.m])
        if draws.rank_histograms is not None and cell.m in draws.rank_histograms:
            shares = torch.tensor(draws.rank_histograms[cell.m], dtype=torch.float64)
            before = sums.rank_histogram
            sums.rank_histogram = shares if before is None else before + shares
            sums.kept.add("calibration", central_share(shares, 0.9))
            sums.coverage_50.add(central_share(shares, 0.5))

    def results(self, cell: Cell) -> list[Result]:
        """Results of one setting: for the N kept candidates, and for the mean of all M."""
        sums = self._cells[cell]
        kept = Result("model", dict(sums.kept.estimates), cell)
        for against, means in (
            (LIKELIEST, sums.minus_likeliest),
            (ALL, sums.minus_all),
            (self._baseline_name, sums.minus_baseline),
        ):
            if (
                against is not None
                and means.estimates
                and not (against != self._baseline_name and cell.m == cell.n)
            ):
                kept.differences[against] = means.estimates
        if sums.rank_histogram is not None:
            kept.extra["rank_histogram"] = (sums.rank_histogram / self.count).tolist()
            kept.extra["coverage_50"] = sums.coverage_50.estimate.as_json()
        if not sums.everything.estimates or cell.m == cell.n:
            return [kept]
        return [kept, Result(ALL, sums.everything.estimates, cell)]

    @property
    def baseline(self) -> dict[str, Estimate]:
        return self._baseline.estimates

    @property
    def truth(self) -> Result | None:
        """Bits/dim, and the part of its standard error that the noise draws cause (if K > 1)."""
        if "bpd" not in self._settings.metrics:
            return None
        result = Result("truth", {"bpd": self._bpd.estimate})
        if self._settings.noise_samples > 1:
            result.extra["noise_standard_error"] = math.sqrt(self._noise) / self.count
        return result

    @property
    def gaps(self) -> list[LikelihoodGap]:
        """The gap at each temperature, with the largest M."""
        return [
            LikelihoodGap(
                tau,
                self._settings.most,
                sums.above.estimate,
                sums.difference.estimate,
                sums.truths,
                sums.candidates,
            )
            for tau, sums in self._gaps.items()
        ]


def _mean(values: list[float | None]) -> float | None:
    """The mean; None (infinity) if one value is."""
    finite = [v for v in values if v is not None]
    return sum(finite) / len(finite) if len(finite) == len(values) else None
