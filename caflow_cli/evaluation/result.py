"""The result of an evaluation, and how it follows from the rows of its images.

A row is what was measured of an image, as a line of `evaluate.jsonl` has it:

    index, name
    draws      for each temperature: tau, candidates in the order of k (k, seed, log_likelihood and
               each metric), and by M diversity, ranks (of the truth) and orders (by rule of rank)
    truth      log_likelihood, bits_per_dim, standard_error
    baselines  by name: each metric

JSON has no infinity, so the PSNR of equal images is None. A metric that is a ratio over the set has
a pair: numerator and denominator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

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
    "estimate",
    "ranked",
    "summarise",
]

Row: TypeAlias = dict[str, Any]
Values: TypeAlias = Mapping[str, Any]  # of one image, by metric

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
        return vars(self) | ({} if math.isfinite(self.mean) else {"mean": None})


def estimate(values: Sequence[float | Sequence[float] | None]) -> Estimate:
    """The mean over images; of pairs (a, b) the ratio of two means, `r = Σ a / Σ b`.

    The standard error is that of the mean of `a - r b`, over the mean of b (the delta method). For
    a plain value b is 1, so this is s / √n. None is an infinite value.
    """
    count = len(values)
    single = [(math.inf if v is None else v, 1.0) if not isinstance(v, list) else v for v in values]
    pairs = np.array(single, np.float64)
    over, under = pairs.sum(0)
    if not math.isfinite(over):
        return Estimate(math.inf, None, count)
    ratio, error = float(over / under), None
    if count > 1:
        squares = np.square(pairs[:, 0] - ratio * pairs[:, 1]).sum()
        error = math.sqrt(squares * count / (count - 1)) / float(under)
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
        if self.cell is None:
            return self.what
        tau, m, n, rank = self.cell
        if self.what != "model":
            return f"  {self.what}, mean"
        if m == 1:
            return f"model, τ {tau}, one sample"
        if rank != "likelihood":
            return f"model, τ {tau}, {n} of {m} by {rank}"
        return f"model, τ {tau}, {f'{n} likeliest' if n > 1 else 'likeliest'} of {m}"

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
            if any(label in r.values and math.isinf(r.values[label].mean) for r in self.results):
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
            for to, values in {} if is_sweep else result.differences.items():
                rows.append(("difference", f"  − {to}", self._texts(values, "+")))
        return rows

    def _texts(self, values: dict[str, Estimate], sign: str = "") -> list[str]:
        texts = []
        for label in self.metrics:
            decimals = METRICS[label.partition(":")[0]].decimals
            text = ""
            if value := values.get(label):
                text = f"{value.mean:{sign}.{decimals}f}".replace("inf", "∞")
                if value.standard_error is not None:
                    text += f" ± {value.standard_error:.{decimals}f}"
            texts.append(text)
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
    keys = ("definition", "range", "units", "better")
    record = {key: getattr(METRICS[name], key) for key in keys}
    if extractor:
        as_such = f"as {name}, of the features of {extractor}: not comparable with {name}"
        record["definition"] = f"{as_such}; {record['definition']}"
    return record


# --- from rows ------------------------------------------------------------------------------------


def draws_of(row: Row, cell: Cell) -> Row:
    """The draws at a temperature: as many as M, else the first that are more."""
    tau = cell.tau.as_json()
    found = (d for d in row["draws"] if d["tau"] == tau and len(d["candidates"]) >= cell.m)
    return min(found, key=lambda draws: len(draws["candidates"]))


def ranked(draws: Row, m: int, rank: str = "likelihood") -> list[Row]:
    """The first M candidates, the best first by a rule; ties are ordered by k."""
    first: list[Any] = draws["candidates"][:m]
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
    baselines: dict[str, list[Values]] = {
        name: [row["baselines"].get(name, {}) for row in rows]
        for name in dict.fromkeys(name for row in rows for name in row["baselines"])
    }
    results = [Result(name, _estimates(values)) for name, values in baselines.items()]
    for cell in cells:
        results += _of_cell(rows, cell, baselines, metrics)
    if "bpd" in metrics:
        results.append(_of_truths([row["truth"] for row in rows]))
    gaps: list[dict[str, Any]] = []
    if "likelihood" in metrics:
        gaps = [_gap(rows, place) for place in range(len(rows[0]["draws"]))]
        for gap in gaps:
            tau, values = Temperature.of(gap["tau"]), Estimate(**gap["truth_above_all"])
            if tau not in {cell.tau for cell in cells}:
                cell = Cell(tau, gap["candidates"], 1)
                results.append(Result("model", {"likelihood": values}, cell))
    return results, gaps


def _of_cell(
    rows: Sequence[Row],
    cell: Cell,
    baselines: dict[str, list[Values]],
    metrics: Sequence[str],
) -> list[Result]:
    """Results of one setting: for the N kept candidates, and for the mean of all M."""
    kept, everything, likeliest, histograms, m = [], [], [], [], str(cell.m)
    for row in rows:
        draws = draws_of(row, cell)
        order, by_likelihood = ranked(draws, cell.m, cell.rank), ranked(draws, cell.m)
        everything.append(_means(order))
        likeliest.append(_means(by_likelihood[: cell.n]))
        own = _means(order[: cell.n])
        if "seconds" in draws:
            own["seconds"] = draws["seconds"]
        if "likelihood" in metrics:
            most = by_likelihood[0]["log_likelihood"]
            own["likelihood"] = float(row["truth"]["log_likelihood"] > most)
        if m in draws.get("diversity", ()):
            own["diversity"] = draws["diversity"][m]
        if m in draws.get("ranks", ()):
            histograms.append(torch.tensor(draws["ranks"][m], dtype=torch.float64))
            own["calibration"] = central_share(histograms[-1], 0.9)
        kept.append(own)
    result = Result("model", _estimates(kept), cell)
    against: dict[str, Sequence[Values]] = {}
    if cell.m > cell.n and cell.rank != "likelihood":
        against[LIKELIEST] = likeliest
    if cell.m > cell.n:
        against[ALL] = everything
    for what, others in (against | baselines).items():
        if differences := _differences(kept, others):
            result.differences[what] = differences
    if histograms:
        result.extra["rank_histogram"] = torch.stack(histograms).mean(0).tolist()
        shares = [central_share(histogram, 0.5) for histogram in histograms]
        result.extra["coverage_50"] = estimate(shares).as_json()
    if cell.m == cell.n or not all(everything):
        return [result]
    return [result, Result(ALL, _estimates(everything), cell)]


def _means(candidates: Sequence[Row]) -> Row:
    """Of each metric that all candidates have; None (infinity) if one value is."""
    found: Row = {}
    for name in candidates[0]:
        values = [candidate[name] for candidate in candidates if name in candidate]
        if name not in _SCORES and len(values) == len(candidates):
            found[name] = None if None in values else np.mean(values, axis=0).tolist()
    return found


def _estimates(values: Sequence[Values]) -> dict[str, Estimate]:
    """Of the metrics of each image, which need not have all; no ratio to nothing."""
    columns: dict[str, list[Any]] = {}
    for of_one in values:
        for name, value in of_one.items():
            columns.setdefault(name, []).append(value)
    return {
        name: estimate(column)
        for name, column in columns.items()
        if not isinstance(column[0], list) or sum(b for _, b in column)
    }


def _differences(ours: Sequence[Values], theirs: Sequence[Values]) -> dict[str, Estimate]:
    """Of the metrics that both have, over the images of which both are finite; no ratios."""
    columns: dict[str, list[float]] = {}
    for a, b in zip(ours, theirs, strict=True):
        for name, value in a.items():
            if isinstance(value, float) and isinstance(b.get(name), float):
                columns.setdefault(name, []).append(value - b[name])
    return {name: estimate(column) for name, column in columns.items()}


def _of_truths(truths: Sequence[Row]) -> Result:
    """The bits per dimension of the truths."""
    result = Result("truth", {"bpd": estimate([truth["bits_per_dim"] for truth in truths])})
    if "standard_error" in truths[0]:  # the part of the error that the K noise draws cause
        errors = [t["standard_error"] * t["bits_per_dim"] / t["log_likelihood"] for t in truths]
        result.extra["noise_standard_error"] = math.hypot(*errors) / len(truths)
    return result


def _gap(rows: Sequence[Row], place: int) -> dict[str, Any]:
    """The truths' log-likelihoods beside those of the M candidates at a temperature, in nats."""
    draws = [row["draws"][place]["candidates"] for row in rows]
    truths = np.array([row["truth"]["log_likelihood"] for row in rows])
    found = np.array([[c["log_likelihood"] for c in candidates] for candidates in draws])
    edges = np.histogram_bin_edges([*truths, *found.flat], 24)
    above = (truths > found.max(1)).astype(float)
    return {
        "tau": rows[0]["draws"][place]["tau"],
        "candidates": len(draws[0]),
        "truth_above_all": estimate(above.tolist()).as_json(),
        "truth_minus_mean_candidate": estimate((truths - found.mean(1)).tolist()).as_json(),
        "histogram": {
            "edges": edges.tolist(),
            "truth": np.histogram(truths, edges)[0].tolist(),
            "candidates": np.histogram(found, edges)[0].tolist(),
        },
    }
