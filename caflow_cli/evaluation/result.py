"""The result of an evaluation: estimates by metric, as a table and as JSON."""

import math
from collections.abc import Sequence, Sized
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from ..errors import CaflowError
from ..records import Table
from .kinds import Cell
from .metrics import METRICS

ALL = "all candidates"  # the mean of all, if the model's row is that of the best


@dataclass(frozen=True)
class Estimate:
    """A mean over images, with its standard error."""

    mean: float  # infinite if a value is
    standard_error: float | None  # of the mean: s / √n; None for fewer than two values
    count: int

    def as_json(self) -> Table:
        """Convert for JSON, with null for infinity."""
        record = dict(vars(self))
        if not math.isfinite(self.mean):
            record["mean"] = None
        return record


def estimate(values: Sequence[float | list[float] | None]) -> Estimate:
    """The mean over images; for pairs (a, b) the ratio of means, `r = Σ a / Σ b`.

    The standard error is that of the mean of `a - r b`, divided by the mean of b (delta method).
    For plain values b is 1, so it is s / √n. None stands for an infinite value.
    """
    count = len(values)
    pairs = []
    for value in values:
        finite = math.inf if value is None else value
        pairs.append(finite if isinstance(finite, list) else [finite, 1.0])
    over, under = np.array(pairs).T
    if not np.isfinite(over).all():
        return Estimate(math.inf, None, count)
    ratio = over.mean() / under.mean()
    error = None
    if count > 1:
        deviation = (over - ratio * under).std(ddof=1)
        error = float(deviation / count**0.5 / under.mean())
    return Estimate(float(ratio), error, count)


Estimates: TypeAlias = dict[str, Estimate]  # by metric
Failures: TypeAlias = dict[str, CaflowError]  # by the name of an image or a metric


def check_measured(measured: Sized, failed: Failures) -> None:
    """Raise CaflowError, with the first reason, if nothing is measured."""
    if not measured:
        first = next(iter(failed.values()))
        raise CaflowError(f"nothing could be measured: {first.message}", first.hint)


@dataclass
class Result:
    """A row of the table: one setting of the model, a baseline, a folder, or a published figure."""

    what: str
    values: Estimates
    cell: Cell | None = None
    differences: dict[str, Estimates] = field(default_factory=dict)  # paired, by row
    extra: Table = field(default_factory=dict)  # as JSON: figures that supplement metrics

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
        if n == m:
            return f"model, τ {tau}, all {m}"
        if rank != "likelihood":
            return f"model, τ {tau}, {n} of {m} by {rank}"
        likeliest = f"{n} likeliest" if n > 1 else "likeliest"
        return f"model, τ {tau}, {likeliest} of {m}"

    def as_json(self) -> Table:
        record: Table = {"what": self.what}
        if self.cell is not None:
            record |= self.cell._asdict()
            record["tau"] = self.cell.tau.as_json() or str(self.cell.tau)
        record["values"] = _json(self.values)
        if self.differences:
            record["differences"] = {}
        for to, values in self.differences.items():
            record["differences"][to] = _json(values)
        return record | self.extra


def _json(values: Estimates) -> Table:
    return {name: value.as_json() for name, value in values.items()}


@dataclass
class Evaluation:
    """All results of an evaluation."""

    form: str  # "model", "benchmark", "sets" or "fields"
    images: int
    metrics: list[str]  # labels, such as `fid:NAME`, which is not FID
    results: list[Result]
    settings: Table = field(default_factory=dict)  # as JSON: task, data, params, ...
    failed: Failures = field(default_factory=dict)  # images
    notes: list[str] = field(default_factory=list)  # caveats for readers of the figures
    missing: Failures = field(default_factory=dict)  # metrics without their network

    def as_json(self) -> Table:
        """Convert for JSON, without what only the caller knows: command, model, time."""
        record: Table = {
            "form": self.form,
            "status": "error" if self.failed or self.missing else "ok",
            **self.settings,
            "images": self.images,
            "metrics": {label: describe(label) for label in self.metrics},
            "results": [result.as_json() for result in self.results],
            "failed": [],
            "notes": self.notes,
        }
        for metric in record["metrics"].values() if "unit" in self.settings else ():
            if metric["units"] in ("levels", "the unit"):
                metric |= {"units": self.settings["unit"], "range": "0 up"}
        for name, error in self.failed.items():
            record["failed"].append({"input": name, "error": error.as_json()})
        if self.missing:
            record["missing"] = {}
        for name, error in self.missing.items():
            record["missing"][name] = error.as_json()
        return record


def describe(label: str) -> dict[str, str]:
    """The definition, range, units and direction of a metric, for JSON."""
    name, _, extractor = label.partition(":")
    keys = ("definition", "range", "units", "better")
    record = {key: getattr(METRICS[name], key) for key in keys}
    if extractor:
        prefix = f"like {name}, on features of {extractor}: not comparable with {name}"
        record["definition"] = f"{prefix}; {record['definition']}"
    return record
