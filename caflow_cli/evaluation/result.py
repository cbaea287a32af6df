"""The result of an evaluation, from which tables, JSON and reports are made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..errors import CaflowError
from ..temperature import Temperature
from .estimates import Estimate
from .metrics import METRICS
from .settings import Cell

__all__ = ["ALL", "LIKELIEST", "Evaluation", "Failure", "LikelihoodGap", "Result", "describe"]

ALL = "all candidates"  # their mean, where the model's row is of the best
LIKELIEST = "likeliest"  # those that likelihood chooses, where another rule chose the row's


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
            return f"model, τ {cell.tau}, one draw"
        if cell.rank != "likelihood":
            return f"model, τ {cell.tau}, {cell.n} of {cell.m} by {cell.rank}"
        likeliest = f"{cell.n} likeliest" if cell.n > 1 else "likeliest"
        return f"model, τ {cell.tau}, {likeliest} of {cell.m}"

    def as_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {"what": self.what}
        if self.cell is not None:
            record |= {
                "tau": self.cell.tau.as_json(),
                "candidates": self.cell.m,
                "keep": self.cell.n,
                "rank": self.cell.rank,
            }
        record["values"] = _json(self.values)
        if self.differences:
            record["differences"] = {to: _json(d) for to, d in self.differences.items()}
        return record | self.extra


@dataclass
class LikelihoodGap:
    """The truths' log-likelihoods compared with those of M candidates, at one tau, in nats."""

    tau: Temperature
    m: int
    above_all: Estimate  # share of truths above all M
    difference: Estimate  # truth minus mean candidate
    truths: Sequence[float]  # of each picture
    candidates: Sequence[float]  # of each candidate of each picture

    def as_json(self) -> dict[str, Any]:
        return {
            "tau": self.tau.as_json(),
            "candidates": self.m,
            "truth_above_all": self.above_all.as_json(),
            "truth_minus_mean_candidate": self.difference.as_json(),
            "histogram": self.histogram(),
        }

    def histogram(self, bins: int = 24) -> dict[str, list[float] | list[int]]:
        """Counts of truths and of candidates in common bins."""
        everything = [*self.truths, *self.candidates]
        edges = np.linspace(min(everything), max(everything), bins + 1)
        if edges[0] == edges[-1]:
            edges = np.linspace(edges[0] - 0.5, edges[0] + 0.5, bins + 1)
        return {
            "edges": edges.tolist(),
            "truth": np.histogram(self.truths, edges)[0].tolist(),
            "candidates": np.histogram(self.candidates, edges)[0].tolist(),
        }


class Failure(NamedTuple):
    """A picture that could not be measured."""

    name: str
    error: CaflowError


@dataclass
class Evaluation:
    """All results of an evaluation."""

    form: str  # "model", "benchmark", "sets" or "lines"
    images: int
    metrics: list[str]  # labels: `fid:NAME` is not FID
    results: list[Result]
    settings: dict[str, Any] = field(default_factory=dict)  # as JSON: task, data, params, ...
    gaps: list[LikelihoodGap] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what a reader of the numbers must know

    def __post_init__(self) -> None:
        for label in self.metrics:
            found = [row.values[label].mean for row in self.results if label in row.values]
            if math.inf in found:
                self.notes = [
                    *self.notes,
                    f"{label} is infinite, because a picture equals what it is compared with "
                    "(JSON: null)",
                ]

    @property
    def table(self) -> list[tuple[str, str, dict[str, Estimate]]]:
        """Kind ("model", "other" or "difference"), label and values of the rows for people.

        For a sweep, only the settings, the baseline and published figures; the rest is in the JSON.
        """
        is_sweep = len({r.cell for r in self.results if r.what == "model"}) > 2
        rows = []
        for result in self.results:
            if is_sweep and result.what == ALL:
                continue
            kind = "model" if result.what in ("model", "generated") else "other"
            rows.append((kind, result.label, result.values))
            if not is_sweep:
                for to, values in result.differences.items():
                    rows.append(("difference", f"  − {to}", values))
        return rows

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
            record["likelihood"] = [gap.as_json() for gap in self.gaps]
        record["failed"] = [
            {"input": name, "error": {"code": e.exit_code, "message": e.message, "hint": e.hint}}
            for name, e in self.failed
        ]
        return record | {"notes": self.notes}


def describe(label: str) -> dict[str, str]:
    """Definition, range, units and direction of a metric, for JSON."""
    name, _, extractor = label.partition(":")
    metric = METRICS[name]
    record = {k: v for k, v in asdict(metric).items() if k not in ("name", "needs", "decimals")}
    if extractor:
        record["definition"] = (
            f"as {name}, of the features of {extractor}: not comparable with {name}; "
            + record["definition"]
        )
    return record


def _json(values: dict[str, Estimate]) -> dict[str, Any]:
    return {name: value.as_json() for name, value in values.items()}
