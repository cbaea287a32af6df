"""Metrics: `catalog.toml` describes them, the modules implement formulas and networks.

Help, JSON and tables take their text from the catalog. Nothing here depends on tasks or models,
and importing the package imports no torch.
"""

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...errors import usage_error
from ...records import Table, read_toml


@dataclass(frozen=True)
class Metric:
    """The description of a metric.

    `needs` is "pairs" (image and truth), "sets" (two sets), "model" (one that samples), "benchmark"
    (a protocol on whole images), "masks" (such a protocol with masks of damage), "samples" (such
    a protocol for superres, and all M samples), or "fields" (a model of fields).
    """

    name: str
    definition: str
    range: str
    units: str
    better: Literal["lower", "higher", "nominal"]
    needs: Literal["pairs", "sets", "model", "benchmark", "masks", "samples", "fields"]
    decimals: int  # how many a table shows


@dataclass(frozen=True)
class Weights:
    """Where the networks of metrics come from.

    None: the file that the environment names, else torch's cache, else a download.
    """

    lpips: str | Path | None = None
    fid: str | Path | None = None
    # Computes the features for FID, KID and coverage. A function maps uint8 (B, 3, H, W) to (B, d).
    extractor: str | Callable[[Any], Any] = "inception"


def read_tables(path: Path) -> dict[str, Table]:
    """Read the tables of a TOML file, by name; each also has its name as a value."""
    tables = read_toml(path)
    return {name: {"name": name, **table} for name, table in tables.items()}


METRICS: dict[str, Metric] = {
    name: Metric(**table)
    for name, table in read_tables(Path(__file__).with_name("catalog.toml")).items()
}


def needing(*needs: str, among: Iterable[str] = METRICS) -> list[str]:
    """The metrics, in their order, whose `needs` is one of these."""
    return [name for name in among if METRICS[name].needs in needs]


def choose_metrics(
    metrics: str | Sequence[str], offered: Iterable[str], others: Iterable[str] = ()
) -> tuple[str, ...]:
    """Select metrics by name, in the catalog's order.

    Args:
        metrics: Names, comma-separated names, or `all`; if empty, lpips and rmse.
        offered: Names that this form of evaluation supports; `all` stands for these.
        others: Further names that may be stated.

    Raises:
        CaflowError: (exit 2) a metric is unknown, or this form of evaluation does not support it.
    """
    offered = list(offered)
    text = metrics if isinstance(metrics, str) else ",".join(metrics)
    text = text or "lpips,rmse"
    names = [part.strip().lower() for part in text.split(",")]
    for name in names:
        if name not in (*offered, *others, "all"):
            near = difflib.get_close_matches(name, offered, n=1, cutoff=0)[0]
            what = "unknown metric"
            if name in METRICS:
                what = "this kind of evaluation cannot measure"
            known = ", ".join(offered)
            raise usage_error(f"{what} {name!r}", f"--metric {near}; known: {known}")
    if "all" in names:
        names = offered
    return tuple(name for name in METRICS if name in names)
