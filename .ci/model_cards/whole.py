"""What a model makes of whole pictures: `docs/models/ID.whole.json`, from the protocols on them."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import caflow_cli as caflow
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import evaluate
from caflow_cli.evaluation.result import Result
from caflow_cli.paths import sha256_of
from caflow_cli.sampling import Sampling
from model_cards.record import Figure, Figures

SCHEMA = 1


@dataclass(frozen=True)
class Row:
    """A setting of the model, a baseline, or published figures."""

    what: str
    values: Figures


@dataclass(frozen=True)
class OfSet:
    """The rows of one set of pictures."""

    name: str
    pictures: int  # that were measured
    rows: list[Row]
    failed: list[str] = field(default_factory=list)  # names of others, and why


@dataclass(frozen=True)
class Whole:
    """All sets that a model file was measured on by one protocol."""

    sha256: str
    protocol: str
    sets: list[OfSet]

    def to_json(self) -> str:
        """Text of the file."""
        text = json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1)
        return re.sub(r"\{[^{}]*\}", lambda leaf: " ".join(leaf[0].split()), text) + "\n"

    @classmethod
    def read(cls, path: Path) -> Whole:
        """Read the file.

        Raises:
            CaflowError: It is another thing.
        """
        try:
            values = json.loads(path.read_text("utf-8"))
            if values.pop("schema") != SCHEMA:
                raise ValueError("another schema")
            values["sets"] = [_of_set(one) for one in values["sets"]]
            return cls(**values)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CaflowError(
                f"{path.name} has no figures of whole pictures: {error}", ".ci/models whole ID"
            ) from error

    def with_set(self, one: OfSet) -> Whole:
        """The same with a set, in place of an earlier one of its name, in order of name."""
        others = [other for other in self.sets if other.name != one.name]
        sets = sorted([*others, one], key=lambda found: found.name)
        return Whole(self.sha256, self.protocol, sets)


def measure_whole(
    path: Path,
    protocol: str,
    data: Path,
    known: Path,
    *,
    masks: Path | None = None,
    limit: int | None = None,
    candidates: int | None = None,
) -> Whole:
    """Measure a model file on a set at τ 0 and at its default, and add that to what is known.

    What is known of another file, or by another protocol, is dropped.

    Args:
        path: The model file.
        protocol: One on whole pictures.
        data: Folder or zip of whole pictures.
        known: The file that the result belongs into, which need not exist.
        masks: For "repair".
        limit: The first so many pictures.
        candidates: M at the default τ; None: the model's.

    Raises:
        CaflowError: The protocol, the model or the data cannot be used.
    """
    digest = sha256_of(path)
    model = caflow.load(str(path))
    own = Sampling(rank="best").of(model.config).temperature
    found = evaluate(
        model,
        data,
        protocol=protocol,
        masks=masks,
        limit=limit,
        tau=(0.0, own),
        candidates=candidates,
    )
    rows = [Row(result.label.strip(), _figures(result)) for result in found.results]
    failed = [f"{name}: {error.message}" for name, error in found.failed]
    whole = Whole(digest, protocol, [])
    if known.exists():
        before = Whole.read(known)
        whole = before if (before.sha256, before.protocol) == (digest, protocol) else whole
    return whole.with_set(OfSet(data.stem, found.images, rows, failed))


def _figures(result: Result) -> Figures:
    return {name: Figure(**value.as_json()) for name, value in result.values.items()}


def _of_set(values: dict[str, Any]) -> OfSet:
    rows = [
        Row(row["what"], {name: Figure(**figure) for name, figure in row["values"].items()})
        for row in values["rows"]
    ]
    return OfSet(values["name"], values["pictures"], rows, values.get("failed", []))
