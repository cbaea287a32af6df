"""The measurements of an evaluation: a row for each image, with its draws.

A row is a line of `evaluate.jsonl`. JSON has no infinity, so the PSNR of equal images is None. A
metric that is a ratio over the set is a pair: numerator and denominator.
"""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from ..config import Temperature
from .settings import Cell

Values: TypeAlias = dict[str, float | list[float] | None]  # by metric


@dataclass
class Draw:
    """A candidate."""

    k: int
    seed: int
    log_likelihood: float | None  # None: it was scored in tiles or parts
    rank_score: float
    values: Values = field(default_factory=dict)  # empty if it was not measured

    def as_json(self) -> dict[str, Any]:
        record = vars(self) | self.values
        del record["values"]
        if self.log_likelihood is not None:
            del record["rank_score"]
        return record

    @classmethod
    def of_json(cls, record: dict[str, Any]) -> "Draw":
        values = dict(record)
        k = values.pop("k")
        seed = values.pop("seed")
        nats = values.pop("log_likelihood")
        return cls(k, seed, nats, values.pop("rank_score", nats), values)


@dataclass(eq=False)
class Draws:
    """The candidates drawn for an image at one temperature."""

    tau: Temperature
    most: int  # the M that was asked for; the image may have fewer candidates
    candidates: list[Draw] = field(default_factory=list)  # in the order of k
    diverged: list[int] = field(default_factory=list)  # k of those whose samples diverged
    seconds: list[float] | None = None  # for all candidates; and megapixels
    # By M:
    orders: dict[str, dict[int, list[int]]] = field(default_factory=dict)  # by rule; best k first
    diversity: dict[int, float] = field(default_factory=dict)
    space: dict[int, Values] = field(default_factory=dict)  # `space_metrics`
    ranks: dict[int, list[float]] = field(default_factory=dict)  # rank histogram of the truth

    def lost(self, m: int) -> int:
        """How many of the first M candidates diverged."""
        return sum(k < m for k in self.diverged)

    def ranked(self, m: int, rule: str) -> list[Draw]:
        """The first M candidates, best first by a ranking rule; ties are broken by k."""
        first = {draw.k: draw for draw in self.candidates if draw.k < m}
        if rule == "likelihood":
            return sorted(first.values(), key=lambda draw: (-draw.rank_score, draw.k))
        if rule == "none":
            return list(first.values())
        return [first[k] for k in self.orders[rule][m]]

    def as_json(self) -> dict[str, Any]:
        """Convert for JSON, which makes texts of the numbers M; without what is not known."""
        record = {name: value for name, value in vars(self).items() if value}
        record["tau"] = self.tau.as_json()
        record["candidates"] = [draw.as_json() for draw in self.candidates]
        if len(self.candidates) == self.most:
            del record["most"]
        return record

    @classmethod
    def of_json(cls, record: dict[str, Any]) -> "Draws":
        values = {"most": len(record["candidates"]), **record}
        values["tau"] = Temperature.of(record["tau"])
        values["candidates"] = [Draw.of_json(draw) for draw in record["candidates"]]
        for name in ("diversity", "space", "ranks"):
            values[name] = _by_m(record.get(name, {}))
        orders = record.get("orders", {})
        values["orders"] = {rule: _by_m(order) for rule, order in orders.items()}
        return cls(**values)


def _by_m(record: dict[str, Any]) -> dict[int, Any]:
    return {int(m): value for m, value in record.items()}


@dataclass(eq=False)
class Row:
    """The measurements of an image."""

    index: int
    name: str
    draws: list[Draws] = field(default_factory=list)
    baselines: dict[str, Values] = field(default_factory=dict)  # by name
    truth: dict[str, float] = field(default_factory=dict)  # log_likelihood, bits_per_dim, ...

    def draws_of(self, cell: Cell) -> Draws:
        """The draws at the cell's temperature, for M candidates or else the next larger number."""
        enough = []
        for draws in self.draws:
            if draws.tau == cell.tau and draws.most >= cell.m:
                enough.append(draws)
        return min(enough, key=lambda draws: draws.most)

    def as_json(self) -> dict[str, Any]:
        """A line of `evaluate.jsonl`."""
        record = vars(self) | {"draws": [draws.as_json() for draws in self.draws]}
        if not self.truth:
            del record["truth"]
        return record

    @classmethod
    def of_json(cls, record: dict[str, Any]) -> "Row":
        draws = [Draws.of_json(draws) for draws in record["draws"]]
        return cls(**{**record, "draws": draws})
