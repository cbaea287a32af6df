"""The result of an evaluation, and how it follows from the rows of its images.

A row is what was measured of an image, as a line of `evaluate.jsonl` has it:

    index, name
    draws      for each temperature: tau, candidates in the order of k (k, seed, log_likelihood, and
               each metric), and by M diversity, ranks (of the truth) and orders (by rule of rank)
    truth      log_likelihood, bits_per_dim, standard_error
    baselines  by name: each metric

JSON has no infinity, so the PSNR of equal images is None. A metric that is a ratio over the set has
a pair: numerator and denominator.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch

from ..errors import CaflowError
from ..temperature import Temperature
from .metrics import METRICS
from .metrics.pairs import central_share
from .settings import Cell

__all__ = [
    "ALL",
    "LIKELIEST",
    "Estimate",
    "Evaluation",
    "Failure",
    "Result",
    "Row",
    "describe",
    "draws_of",
    "mean_of",
    "ranked",
    "ratio_of",
    "summarise",
]

Row = dict[str, Any]

ALL = "all candidates"  # their mean, where the model's row is of the best
LIKELIEST = "likeliest"  # those that likelihood chooses, where another rule chose the row's
_SCORES = ("k", "seed", "log_likelihood", "rank_score")  # of a candidate, beside its metrics


@dataclass(frozen=True)
class Estimate:
    """A mean over images, with its standard error."""

    mean: float  # infinite where a value was
    standard_error: float | None  # of the mean: s / √n; None below two values
    count: int

    def as_json(self) -> dict[str, Any]:
        """Convert for JSON, where null stands for infinity."""
        mean = self.mean if math.isfinite(self.mean) else None
        return {"mean": mean, "standard_error": self.standard_error, "count": self.count}


def mean_of(values: Iterable[float | None]) -> Estimate:
    """The mean of values and its standard error (Welford); None is an infinite value."""
    count, mean, squares, infinite = 0, 0.0, 0.0, False
    for value in values:
        count += 1
        if value is None or not math.isfinite(value):
            infinite = True
            continue
        delta = value - mean
        mean += delta / count
        squares += delta * (value - mean)
    if infinite:
        return Estimate(math.inf, None, count)
    return Estimate(mean, math.sqrt(squares / (count - 1) / count) if count > 1 else None, count)


def ratio_of(pairs: Sequence[tuple[float, float]]) -> Estimate | None:
    """The ratio of two means, `r = Σ a / Σ b`, over images with a value a and a value b each.

    Its standard error is that of the mean of `a - r b`, over the mean of b (the delta method). None
    if Σ b is 0.
    """
    over, under, count = sum(a for a, _ in pairs), sum(b for _, b in pairs), len(pairs)
    if not under:
        return None
    ratio, error = over / under, None
    if count > 1:
        squares = sum((a - ratio * b) ** 2 for a, b in pairs)
        error = math.sqrt(squares * count / (count - 1)) / under
    return Estimate(ratio, error, count)


class Failure(NamedTuple):
    """An image that could not be measured."""

    name: str
    error: CaflowError


@dataclass
class Result:
    """A row of the table: one setting of the model, a baseline, a folder, or a published figure."""

    what: str
    values: dict[str, Estimate]  # by metric
    cell: Cell | None = None
    differences: dict[str, dict[str, Estimate]] = field(default_factory=dict)  # paired: to what
    extra: dict[str, Any] = field(default_factory=dict)  # as JSON: what stands beside a metric

    @property
    def label(self) -> str:
        """The name of the row in a table."""
        cell = self.cell
        if cell is None:
            return self.what
        if self.what != "model":
            return f"  {self.what}, mean"
        if cell.m == 1:
            return f"model, τ {cell.tau}, one sample"
        if cell.rank != "likelihood":
            return f"model, τ {cell.tau}, {cell.n} of {cell.m} by {cell.rank}"
        likeliest = f"{cell.n} likeliest" if cell.n > 1 else "likeliest"
        return f"model, τ {cell.tau}, {likeliest} of {cell.m}"

    def as_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {"what": self.what}
        if self.cell is not None:
            tau, m, n, rank = self.cell
            record |= {"tau": tau.as_json(), "candidates": m, "keep": n, "rank": rank}
        record["values"] = _json(self.values)
        if self.differences:
            record["differences"] = {to: _json(d) for to, d in self.differences.items()}
        return record | self.extra


def _json(values: dict[str, Estimate]) -> dict[str, Any]:
    return {name: value.as_json() for name, value in values.items()}


@dataclass
class Evaluation:
    """All results of an evaluation."""

    form: str  # "model", "benchmark", "sets" or "lines"
    images: int
    metrics: list[str]  # labels: `fid:NAME` is not FID
    results: list[Result]
    settings: dict[str, Any] = field(default_factory=dict)  # as JSON: task, data, params, ...
    gaps: list[dict[str, Any]] = field(default_factory=list)  # as JSON: truths beside candidates
    failed: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what a reader of the numbers must know

    def __post_init__(self) -> None:
        for label in self.metrics:
            if any(label in r.values and r.values[label].mean == math.inf for r in self.results):
                note = "because an image equals what it is compared with (JSON: null)"
                self.notes = [*self.notes, f"{label} is infinite, {note}"]

    @property
    def table(self) -> list[tuple[str, str, list[str]]]:
        """Kind ("model", "other" or "difference"), label and a text a metric of rows for people.

        For a sweep, only the settings, the baseline and published figures; the rest is in the JSON.
        """
        is_sweep = len({r.cell for r in self.results if r.what == "model"}) > 2
        rows = []
        for result in self.results:
            if is_sweep and result.what == ALL:
                continue
            kind = "model" if result.what in ("model", "generated") else "other"
            rows.append((kind, result.label, self._texts(result.values)))
            if not is_sweep:
                for to, values in result.differences.items():
                    rows.append(("difference", f"  − {to}", self._texts(values, "+")))
        return rows

    def _texts(self, values: dict[str, Estimate], sign: str = "") -> list[str]:
        texts = []
        for label in self.metrics:
            value, decimals = values.get(label), METRICS[label.partition(":")[0]].decimals
            if value is None:
                texts.append("")
            elif not math.isfinite(value.mean):
                texts.append("∞")
            elif value.standard_error is None:
                texts.append(f"{value.mean:{sign}.{decimals}f}")
            else:
                error = f"{value.standard_error:.{decimals}f}"
                texts.append(f"{value.mean:{sign}.{decimals}f} ± {error}")
        return texts

    def as_json(self) -> dict[str, Any]:
        """Convert for JSON, without the parts that only the caller knows: command, model, time."""
        record = {
            "form": self.form,
            "status": "error" if self.failed else "ok",
            **self.settings,
            "images": self.images,
            "metrics": {label: describe(label) for label in self.metrics},
            "results": [result.as_json() for result in self.results],
        }
        if self.gaps:
            record["likelihood"] = self.gaps
        record["failed"] = [
            {"input": name, "error": {"code": e.exit_code, "message": e.message, "hint": e.hint}}
            for name, e in self.failed
        ]
        return record | {"notes": self.notes}


def describe(label: str) -> dict[str, str]:
    """Definition, range, units and direction of a metric, for JSON."""
    name, _, extractor = label.partition(":")
    metric = asdict(METRICS[name])
    record = {key: metric[key] for key in ("definition", "range", "units", "better")}
    if extractor:
        record["definition"] = (
            f"as {name}, of the features of {extractor}: not comparable with {name}; "
            + record["definition"]
        )
    return record


# --- from rows ------------------------------------------------------------------------------------


def draws_of(row: Row, tau: Temperature, m: int) -> dict[str, Any]:
    """The draws at a temperature: as many as M, else the first that are more."""
    found = [d for d in row["draws"] if tuple(d["tau"]) == tau.values and len(d["candidates"]) >= m]
    draws: dict[str, Any] = min(found, key=lambda d: len(d["candidates"]))
    return draws


def ranked(draws: dict[str, Any], m: int, rank: str = "likelihood") -> list[dict[str, Any]]:
    """The first M candidates, the best first by a rule; ties are ordered by k."""
    first: list[dict[str, Any]] = draws["candidates"][:m]
    if rank == "none":
        return first
    if rank != "likelihood":
        return [first[k] for k in draws["orders"][rank][str(m)]]
    return sorted(first, key=lambda c: (-c.get("rank_score", c["log_likelihood"]), c["k"]))


def summarise(
    rows: Sequence[Row], cells: Sequence[Cell], metrics: Sequence[str]
) -> tuple[list[Result], list[dict[str, Any]]]:
    """Results of all rows, in the order of the table: baselines, settings, truth; and the gaps.

    Args:
        rows: One an image, at least one.
        cells: The settings of the sweep; none where nothing was drawn.
        metrics: That are measured.
    """
    baselines: dict[str, list[dict[str, Any]]] = {}
    for name in dict.fromkeys(name for row in rows for name in row["baselines"]):
        baselines[name] = [row["baselines"].get(name, {}) for row in rows]
    results = [Result(name, _estimates(values)) for name, values in baselines.items()]
    for cell in cells:
        results += _of_cell(rows, cell, baselines, metrics)
    if "bpd" in metrics:
        truths = [row["truth"] for row in rows]
        result = Result("truth", {"bpd": mean_of(truth["bits_per_dim"] for truth in truths)})
        if "standard_error" in truths[0]:  # the part of the error that the K noise draws cause
            squares = (
                (t["standard_error"] * t["bits_per_dim"] / t["log_likelihood"]) ** 2 for t in truths
            )
            result.extra["noise_standard_error"] = math.sqrt(sum(squares)) / len(rows)
        results.append(result)
    gaps: list[dict[str, Any]] = []
    if "likelihood" in metrics:
        gaps = [_gap(rows, place) for place in range(len(rows[0]["draws"]))]
        known = {cell.tau for cell in cells}
        for gap in gaps:
            if (tau := Temperature.of(gap["tau"])) not in known:
                values = {"likelihood": Estimate(**gap["truth_above_all"])}
                results.append(Result("model", values, Cell(tau, gap["candidates"], 1)))
    return results, gaps


def _of_cell(
    rows: Sequence[Row],
    cell: Cell,
    baselines: dict[str, list[dict[str, Any]]],
    metrics: Sequence[str],
) -> list[Result]:
    """Results of one setting: for the N kept candidates, and for the mean of all M."""
    kept, everything, likeliest, histograms = [], [], [], []
    for row in rows:
        draws = draws_of(row, cell.tau, cell.m)
        order, by_likelihood = ranked(draws, cell.m, cell.rank), ranked(draws, cell.m)
        everything.append(_means(order))
        likeliest.append(_means(by_likelihood[: cell.n]))
        kept.append(_means(order[: cell.n]))
        if "seconds" in draws:
            kept[-1]["seconds"] = draws["seconds"]
        if "likelihood" in metrics:
            above = row["truth"]["log_likelihood"] > by_likelihood[0]["log_likelihood"]
            kept[-1]["likelihood"] = float(above)
        if str(cell.m) in draws.get("diversity", ()):
            kept[-1]["diversity"] = draws["diversity"][str(cell.m)]
        if str(cell.m) in draws.get("ranks", ()):
            histograms.append(torch.tensor(draws["ranks"][str(cell.m)], dtype=torch.float64))
            kept[-1]["calibration"] = central_share(histograms[-1], 0.9)
    against = dict(baselines)
    if cell.m > cell.n:
        against = {ALL: everything, **against}
        if cell.rank != "likelihood":
            against = {LIKELIEST: likeliest, **against}
    result = Result("model", _estimates(kept), cell)
    for what, others in against.items():
        if differences := _differences(kept, others):
            result.differences[what] = differences
    if histograms:
        result.extra["rank_histogram"] = (
            functools.reduce(torch.add, histograms) / len(rows)
        ).tolist()
        result.extra["coverage_50"] = mean_of(central_share(h, 0.5) for h in histograms).as_json()
    if cell.m == cell.n or not all(everything):
        return [result]
    return [result, Result(ALL, _estimates(everything), cell)]


def _means(candidates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of each metric that all candidates have; None (infinity) if one value is."""
    found: dict[str, Any] = {}
    for name in candidates[0]:
        if name in _SCORES or not all(name in candidate for candidate in candidates):
            continue
        values = [candidate[name] for candidate in candidates]
        if isinstance(values[0], list):
            found[name] = np.mean(values, axis=0).tolist()
        else:
            found[name] = None if None in values else sum(values) / len(values)
    return found


def _estimates(values: Sequence[dict[str, Any]]) -> dict[str, Estimate]:
    """Of the metrics of each image, which need not have all."""
    found = {}
    for name in dict.fromkeys(name for of_one in values for name in of_one):
        column = [of_one[name] for of_one in values if name in of_one]
        estimate = ratio_of(column) if isinstance(column[0], list) else mean_of(column)
        if estimate is not None:
            found[name] = estimate
    return found


def _differences(
    ours: Sequence[dict[str, Any]], theirs: Sequence[dict[str, Any]]
) -> dict[str, Estimate]:
    """Of the metrics that both have, over the images of which both are finite; no ratios."""
    found = {}
    for name in dict.fromkeys(name for of_one in ours for name in of_one):
        pairs = [(a.get(name), b.get(name)) for a, b in zip(ours, theirs, strict=True)]
        apart = [a - b for a, b in pairs if isinstance(a, float) and isinstance(b, float)]
        if apart:
            found[name] = mean_of(apart)
    return found


def _gap(rows: Sequence[Row], place: int) -> dict[str, Any]:
    """The truths' log-likelihoods beside those of the M candidates at a temperature, in nats."""
    truths = [row["truth"]["log_likelihood"] for row in rows]
    draws = [[c["log_likelihood"] for c in row["draws"][place]["candidates"]] for row in rows]
    pairs = list(zip(truths, draws, strict=True))
    edges = np.histogram_bin_edges([*truths, *(value for of_one in draws for value in of_one)], 24)
    return {
        "tau": rows[0]["draws"][place]["tau"],
        "candidates": len(draws[0]),
        "truth_above_all": mean_of(float(truth > max(some)) for truth, some in pairs).as_json(),
        "truth_minus_mean_candidate": mean_of(
            truth - sum(some) / len(some) for truth, some in pairs
        ).as_json(),
        "histogram": {
            "edges": edges.tolist(),
            "truth": np.histogram(truths, edges)[0].tolist(),
            "candidates": np.histogram(np.ravel(draws), edges)[0].tolist(),
        },
    }
