"""The description of each metric. Help, JSON and tables take their text from here."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ...errors import usage_error

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["METRICS", "Metric", "Weights", "choose_metrics", "read_tables"]


@dataclass(frozen=True)
class Metric:
    """A metric.

    `needs` is pairs (image and truth), sets (two sets), a model that samples, or a benchmark: one
    of the protocols on whole images.
    """

    name: str
    definition: str
    range: str
    units: str
    better: Literal["lower", "higher", "nominal"]
    needs: Literal["pairs", "sets", "model", "benchmark"]
    decimals: int  # that a table shows


@dataclass(frozen=True)
class Weights:
    """Where the networks of metrics come from.

    None is the environment's file, else torch's cache, else a download.
    """

    lpips: str | Path | None = None
    fid: str | Path | None = None
    extractor: str = "inception"  # of the features of FID, KID and coverage


def read_tables(path: Path) -> dict[str, dict[str, Any]]:
    """The tables of a TOML file, each with its name."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: {"name": name, **table} for name, table in tables.items()}


METRICS: dict[str, Metric] = {
    name: Metric(**table)
    for name, table in read_tables(Path(__file__).with_suffix(".toml")).items()
}


def choose_metrics(
    given: Sequence[str], offered: Iterable[str], default: Sequence[str] = ()
) -> list[str]:
    """The metrics that `--metric` names, in the catalogue's order.

    Args:
        given: Names, comma lists of them, or `all`.
        offered: Names that this form of evaluation has; `all` stands for these.
        default: Names to use if none is given.

    Raises:
        CaflowError: (exit 2) a metric is unknown, or this form cannot measure it.
    """
    offered = list(offered)
    wanted: set[str] = set()
    for name in [part.strip().lower() for text in given for part in text.split(",")]:
        if name == "all":
            wanted.update(offered)
        elif name in offered:
            wanted.add(name)
        elif name in METRICS and METRICS[name].needs == "benchmark":
            raise usage_error(
                f"{name!r} is measured by a protocol on whole images",
                "caflow evaluate --protocol sr4|repair|colour --data DIR",
            )
        elif name in METRICS:
            raise usage_error(
                f"{name!r} needs a model that draws candidates",
                f"caflow evaluate --task superres --model ID --data DIR --metric {name}",
            )
        else:
            near = difflib.get_close_matches(name, offered, n=1, cutoff=0)[0]
            hint = f"--metric {near}; known: {', '.join(offered)}, and all for all of them"
            raise usage_error(f"unknown metric {name!r}", hint)
    chosen = wanted or set(default)
    if not chosen:
        raise usage_error("no metric", "--metric lpips,rmse")
    return [name for name in METRICS if name in chosen]
