"""Protocols: data, degradation, settings, metrics and baselines, with published figures.

Those of the paper's three tables measure images at the model's size. The others measure whole
images at their own size, restored as by the commands.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Literal

from ..errors import usage_error
from ..records import Table
from .metrics import read_tables

_SETS = {"b100": "bsd100", "bsds100": "bsd100"}  # aliases


@dataclass(frozen=True)
class Protocol:
    """The data, degradation, metrics and baselines of a comparison, and published figures."""

    name: str = ""
    task: str = ""
    data: str = ""  # the data that it is meant for
    metrics: Sequence[str] = ()
    reading: str = ""  # how we interpret it, and what the paper leaves open
    whole: bool = False  # images keep their size, and only the best candidate is measured
    baselines: Sequence[str] = ()  # default: the task's
    masks: bool = False  # whether it needs masks of damage
    inputs: Literal["web"] | None = None  # superres: how inputs are shrunk; None: as asked
    factor: int | None = None  # superres: the model's required factor
    # Settings of a paper's table. None, or empty: the model's, or everything.
    model: str | None = None  # the bundled model for the table
    tau: Sequence[float] = ()
    candidates: int | None = None
    keep: Sequence[int] = (1,)
    images: int | None = None  # how many images, from the beginning of the split
    # By set, "any" or its name in lower case, letters and digits; by method; by metric.
    figures: Mapping[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    source: str = ""  # source of the figures

    def published(self, data: str) -> dict[str, dict[str, float]]:
        """Published figures for a set of that name: by method, then by metric."""
        stem = PurePath(data.replace("\\", "/")).stem.lower()
        name = "".join(filter(str.isalnum, stem))
        name = _SETS.get(name, name)
        return self.figures.get(name) or self.figures.get("any", {})

    def as_json(self) -> Table:
        record = {key: getattr(self, key) for key in ("name", "data", "reading", "source")}
        return {key: text for key, text in record.items() if text}


NO_PROTOCOL = Protocol()
PROTOCOLS = {
    name: Protocol(**table)
    for name, table in read_tables(Path(__file__).with_suffix(".toml")).items()
}


def get_protocol(name: str) -> Protocol:
    """The protocol with that name; if unknown, CaflowError (exit 2) suggests the nearest one."""
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, n=1, cutoff=0)[0]
        raise usage_error(f"unknown protocol {name!r}", f"--protocol {near}")
    return PROTOCOLS[name]
