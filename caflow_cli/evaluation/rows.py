"""The measurements of an evaluation: a row for each image, with its draws.

A row is a line of `evaluate.jsonl`. JSON has no infinity, so the PSNR of equal images is None. A
metric that is a ratio over the set is a pair: numerator and denominator.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

from ..config import Temperature
from ..restoration import Divergence

Values: TypeAlias = dict[str, float | list[float] | None]  # by metric


@dataclass
class Draw:
    """A candidate."""

    k: int
    seed: int
    log_likelihood: float | None  # None: it was scored in tiles or parts
    rank_score: float | None  # None: the guide's prediction is a part of it, so it ranks last
    values: Values = field(default_factory=dict)  # empty if it was not measured

    def as_json(self) -> dict[str, Any]:
        return _flat(self)

    @classmethod
    def of_json(cls, record: dict[str, Any]) -> "Draw":
        return cls(**_nested(cls, record))


@dataclass(eq=False)
class Draws:
    """The candidates drawn for an image at one temperature."""

    tau: Temperature
    most: int  # the M that was asked for; the image may have fewer candidates
    candidates: list[Draw] = field(default_factory=list)  # in the order of k
    windows: int = 0  # that were drawn for all of them: see `Divergence`
    redraws: int = 0
    predicted: int = 0
    consensus: list[int] = field(default_factory=list)  # k by consensus, best first
    ranks: list[float] = field(default_factory=list)  # rank histogram of the truth
    values: Values = field(default_factory=dict)  # of all candidates together

    def ranked(self, rule: str) -> list[Draw]:
        """The candidates, best first by a ranking rule, as `Candidates.ranked`."""
        whole = [draw for draw in self.candidates if draw.rank_score is not None]
        if rule == "likelihood":
            whole.sort(key=lambda draw: (-(draw.rank_score or 0.0), draw.k))
        elif rule == "consensus":
            whole.sort(key=lambda draw: self.consensus.index(draw.k))
        return [*whole, *(draw for draw in self.candidates if draw.rank_score is None)]

    def as_json(self) -> dict[str, Any]:
        record = _flat(self)
        record["tau"] = self.tau.as_json()
        record["candidates"] = [draw.as_json() for draw in self.candidates]
        return record

    @classmethod
    def of_json(cls, record: dict[str, Any]) -> "Draws":
        values = _nested(cls, record)
        values["tau"] = Temperature.of(record["tau"])
        values["candidates"] = [Draw.of_json(draw) for draw in record["candidates"]]
        return cls(**values)


def divergence(draws: Sequence[Draws]) -> Divergence:
    """How often windows diverged, over all draws."""
    return Divergence.sum((some.windows, some.redraws, some.predicted) for some in draws)


@dataclass(eq=False)
class Row:
    """The measurements of an image."""

    index: int
    name: str
    draws: list[Draws] = field(default_factory=list)
    baselines: dict[str, Values] = field(default_factory=dict)  # by name
    truth: dict[str, float] = field(default_factory=dict)  # log_likelihood, bits_per_dim, ...
    depth: int = 8  # bits per channel

    def at(self, tau: Temperature) -> Draws:
        """The draws at a temperature."""
        return next(draws for draws in self.draws if draws.tau == tau)

    def as_json(self) -> dict[str, Any]:
        """A line of `evaluate.jsonl`."""
        record = vars(self) | {"draws": [draws.as_json() for draws in self.draws]}
        if self.depth == 8:
            del record["depth"]
        return record

    @classmethod
    def of_json(cls, record: dict[str, Any]) -> "Row":
        draws = [Draws.of_json(draws) for draws in record["draws"]]
        return cls(**{**record, "draws": draws})


def _flat(record: Draw | Draws) -> dict[str, Any]:
    """The fields of a record, with its values beside them."""
    flat = vars(record) | record.values
    flat.pop("values")
    return flat


def _nested(cls: type[Draw] | type[Draws], flat: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `_flat`."""
    names = [known.name for known in fields(cls)]
    nested: dict[str, Any] = {"values": {}}
    for name, value in flat.items():
        table = nested if name in names else nested["values"]
        table[name] = value
    return nested
