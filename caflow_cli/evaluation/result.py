"""The result of an evaluation, computed from the rows of its images.

A row has the measurements of an image, and is a line of `evaluate.jsonl`:

    index, name
    draws      for each temperature: tau, candidates in the order of k (k, seed, log_likelihood and
               each metric), and by M: diversity, ranks (of the truth) and orders (by ranking rule)
    truth      log_likelihood, bits_per_dim, standard_error
    baselines  by name: each metric

JSON has no infinity, so the PSNR of equal images is None. A metric that is a ratio over the set is
a pair here: numerator and denominator.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch

from ..config import Temperature
from ..errors import CaflowError
from .metrics import METRICS
from .metrics.pairs import central_share
from .settings import Cell

Row: TypeAlias = dict[str, Any]

ALL = "all candidates"  # the mean of all, if the model's row is that of the best
LIKELIEST = "likeliest"  # the likeliest candidates, if another rule chose those of the row
_SCORES = ("k", "seed", "log_likelihood", "rank_score")  # fields of a candidate, not metrics


@dataclass(frozen=True)
class Estimate:
    """A mean over images, with its standard error."""

    mean: float  # infinite if a value is
    standard_error: float | None  # of the mean: s / √n; None for fewer than two values
    count: int

    def as_json(self) -> dict[str, Any]:
        """Convert for JSON, with null for infinity."""
        return vars(self) | ({} if math.isfinite(self.mean) else {"mean": None})


def estimate(values: Sequence[float | Sequence[float] | None]) -> Estimate:
    """The mean over images; for pairs (a, b) the ratio of means, `r = Σ a / Σ b`.

    The standard error is that of the mean of `a - r b`, divided by the mean of b (delta method).
    For plain values b is 1, so it is s / √n. None stands for an infinite value.
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


@dataclass
class Result:
    """A row of the table: one setting of the model, a baseline, a folder, or a published figure."""

    what: str
    values: dict[str, Estimate]  # by metric
    cell: Cell | None = None
    differences: dict[str, dict[str, Estimate]] = field(default_factory=dict)  # paired, by row
    extra: dict[str, Any] = field(default_factory=dict)  # as JSON: figures that supplement metrics

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
    metrics: list[str]  # labels, such as `fid:NAME`, which is not FID
    results: list[Result]
    settings: dict[str, Any] = field(default_factory=dict)  # as JSON: task, data, params, ...
    gaps: list[dict[str, Any]] = field(default_factory=list)  # as JSON: truths vs. candidates
    failed: dict[str, CaflowError] = field(default_factory=dict)  # by the name of the image
    notes: list[str] = field(default_factory=list)  # caveats for readers of the figures

    @property
    def table(self) -> list[tuple[str, str, list[str]]]:
        """Rows for a printed table: kind ("model", "other" or "difference"), label, a text per
        metric. A sweep has only settings, baselines and published figures; JSON has the rest."""
        is_sweep = len({r.cell for r in self.results if r.what == "model"}) > 2
        rows = []
        for result in self.results:
            if is_sweep and result.what == ALL:
                continue
            kind = "model" if result.what in ("model", "generated") else "other"
            rows.append((kind, result.label, self._texts(result.values, "")))
            for to, values in {} if is_sweep else result.differences.items():
                rows.append(("difference", f"  − {to}", self._texts(values, "+")))
        return rows

    def _texts(self, values: dict[str, Estimate], sign: str) -> list[str]:
        texts = []
        for label in self.metrics:
            value, decimals = values.get(label), METRICS[label.partition(":")[0]].decimals
            text = "" if value is None else f"{value.mean:{sign}.{decimals}f}".replace("inf", "∞")
            if value is not None and value.standard_error is not None:
                text += f" ± {value.standard_error:.{decimals}f}"
            texts.append(text)
        return texts

    def as_json(self) -> dict[str, Any]:
        """Convert for JSON, without what only the caller knows: command, model, time."""
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
            for name, e in self.failed.items()
        ]
        return record | {"notes": self.notes}


def describe(label: str) -> dict[str, str]:
    """The definition, range, units and direction of a metric, for JSON."""
    name, _, extractor = label.partition(":")
    keys = ("definition", "range", "units", "better")
    record = {key: getattr(METRICS[name], key) for key in keys}
    if extractor:
        as_such = f"like {name}, on features of {extractor}: not comparable with {name}"
        record["definition"] = f"{as_such}; {record['definition']}"
    return record


# --- from rows ------------------------------------------------------------------------------------


def draws_of(row: Row, cell: Cell) -> Row:
    """The draws at the cell's temperature, for M candidates or else the next larger number."""
    tau = cell.tau.as_json()
    found: dict[int, Row] = {
        draws.get("most", len(draws["candidates"])): draws
        for draws in row["draws"]
        if draws["tau"] == tau
    }
    return found[min(m for m in found if m >= cell.m)]


def ranked(draws: Row, cell: Cell) -> list[Row]:
    """The first M candidates, ranked best first by the cell's rule; ties are broken by k."""
    first: list[Any] = draws["candidates"][: cell.m]
    if cell.rank == "none":
        return first
    if cell.rank != "likelihood":
        return [first[k] for k in draws["orders"][cell.rank][str(cell.m)]]
    return sorted(first, key=lambda c: (-c.get("rank_score", c["log_likelihood"]), c["k"]))


def summarise(
    rows: Sequence[Row], cells: Sequence[Cell], metrics: Sequence[str]
) -> tuple[list[Result], list[Row]]:
    """Summarise rows as results, in the order of the table (baselines, settings, truth), and gaps.

    Args:
        rows: One per image, at least one.
        cells: The settings of the sweep; empty if nothing was drawn.
        metrics: The metrics that were measured.
    """
    images = [_figures(row, cells, metrics) for row in rows]
    columns = {
        key: [image.get(key, {}) for image in images]
        for key in dict.fromkeys(key for image in images for key in image)
    }
    results = []
    for (what, cell), ours in columns.items():
        if what == LIKELIEST or (what == ALL and not all(ours)):
            continue
        result = Result(what, estimates(ours), cell)
        # Paired differences: first within the same setting, then to the baselines.
        for (other, of), theirs in sorted(columns.items(), key=lambda item: item[0][1] is None):
            if what == "model" and of in (None, cell) and other not in ("model", "truth"):
                result.differences[other] = _differences(ours, theirs)
        result.differences = {to: values for to, values in result.differences.items() if values}
        if "calibration" in result.values and cell is not None:
            lists = [draws_of(row, cell)["ranks"][str(cell.m)] for row in rows]
            ranks = torch.tensor(lists, dtype=torch.float64)
            shares = [central_share(histogram, 0.5) for histogram in ranks]
            result.extra["rank_histogram"] = ranks.mean(0).tolist()
            result.extra["coverage_50"] = estimate(shares).as_json()
        results.append(result)
    draws = rows[0]["draws"] if "likelihood" in metrics else ()
    gaps = [_gap(rows, place) for place in range(len(draws))]
    for gap in gaps:
        cell = Cell(Temperature.of(gap["tau"]), gap["candidates"], 1)
        if cell.tau not in {one.tau for one in cells}:
            results.append(
                Result("model", {"likelihood": Estimate(**gap["truth_above_all"])}, cell)
            )
    return results, gaps


def _figures(
    row: Row, cells: Sequence[Cell], metrics: Sequence[str]
) -> dict[tuple[str, Cell | None], Row]:
    baselines = row["baselines"].items()
    found: dict[tuple[str, Cell | None], Row] = {(name, None): one for name, one in baselines}
    for cell in cells:
        draws, m = draws_of(row, cell), str(cell.m)
        order, likelier = ranked(draws, cell), ranked(draws, cell._replace(rank="likelihood"))
        own = found["model", cell] = _means(order[: cell.n])
        if "seconds" in draws:
            own["seconds"] = draws["seconds"]
        if "likelihood" in metrics:
            own["likelihood"] = float(
                row["truth"]["log_likelihood"] > likelier[0]["log_likelihood"]
            )
        if m in draws.get("diversity", ()):
            own["diversity"] = draws["diversity"][m]
        if m in draws.get("ranks", ()):
            histogram = torch.tensor(draws["ranks"][m], dtype=torch.float64)
            own["calibration"] = central_share(histogram, 0.9)
        if cell.m > cell.n:
            if cell.rank != "likelihood":
                found[LIKELIEST, cell] = _means(likelier[: cell.n])
            found[ALL, cell] = _means(order)
    if "bpd" in metrics:
        found["truth", None] = {"bpd": row["truth"]["bits_per_dim"]}
    return found


def _means(candidates: Sequence[Row]) -> Row:
    """The mean of each metric that all candidates have; None (infinity) if one value is."""
    found: Row = {}
    for name in candidates[0]:
        values = [candidate[name] for candidate in candidates if name in candidate]
        if name not in _SCORES and len(values) == len(candidates):
            found[name] = None if None in values else np.mean(values, axis=0).tolist()
    return found


def estimates(values: Sequence[Row]) -> dict[str, Estimate]:
    """The estimate of each metric over the images that have it; ratios to 0 are omitted."""
    found = {}
    for name in dict.fromkeys(name for of_one in values for name in of_one):
        column = [of_one[name] for of_one in values if name in of_one]
        if not isinstance(column[0], list) or any(b for _, b in column):
            found[name] = estimate(column)
    return found


def _differences(ours: Sequence[Row], theirs: Sequence[Row]) -> dict[str, Estimate]:
    """Estimates of paired differences, over images where both are finite; ratios are omitted."""
    columns: dict[str, list[float]] = {}
    for a, b in zip(ours, theirs, strict=True):
        for name, value in a.items():
            if isinstance(value, float) and isinstance(b.get(name), float):
                columns.setdefault(name, []).append(value - b[name])
    return {name: estimate(column) for name, column in columns.items()}


def _gap(rows: Sequence[Row], place: int) -> Row:
    """Compare the truths' log-likelihoods with those of the M candidates at a temperature; nats."""
    draws = [row["draws"][place]["candidates"] for row in rows]
    truths = np.array([row["truth"]["log_likelihood"] for row in rows])
    found = np.array([[c["log_likelihood"] for c in candidates] for candidates in draws])
    edges = np.histogram_bin_edges([*truths, *found.flat], 24)
    above, apart = (truths > found.max(1)).astype(float), truths - found.mean(1)
    histograms = {"truth": truths, "candidates": found}
    return {
        "tau": rows[0]["draws"][place]["tau"],
        "candidates": len(draws[0]),
        "truth_above_all": estimate(above.tolist()).as_json(),
        "truth_minus_mean_candidate": estimate(apart.tolist()).as_json(),
        "histogram": {"edges": edges.tolist()}
        | {name: np.histogram(values, edges)[0].tolist() for name, values in histograms.items()},
    }
