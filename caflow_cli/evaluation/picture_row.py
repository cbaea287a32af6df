"""The row of a picture: all its measurements, as plain numbers.

Every result is computed from rows. `as_json` and `from_json` write and read a line of
`evaluate.jsonl`. JSON has no infinity, so the PSNR of equal pictures is None.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..temperature import Temperature

__all__ = ["CandidateRow", "DrawsRow", "PictureRow", "TruthRow", "Values", "ranked"]

Values = dict[str, float | None]  # by metric


@dataclass(frozen=True)
class TruthRow:
    """The score of a true picture."""

    log_likelihood: float  # nats, on the 8-bit scale
    bits_per_dim: float
    standard_error: float | None = None  # of log_likelihood over K noise draws; None for K = 1

    def as_json(self) -> dict[str, Any]:
        record = {"log_likelihood": self.log_likelihood, "bits_per_dim": self.bits_per_dim}
        if self.standard_error is not None:
            record["standard_error"] = self.standard_error
        return record


@dataclass(frozen=True)
class CandidateRow:
    """One candidate: its score, and how it compares with the truth."""

    k: int  # its place among the draws, from 0
    seed: int
    log_likelihood: float  # nats, on the 8-bit scale
    values: Values = field(default_factory=dict)  # none where only log-likelihoods are asked for

    def as_json(self) -> dict[str, Any]:
        head = {"k": self.k, "seed": self.seed, "log_likelihood": self.log_likelihood}
        return {**head, **self.values}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> CandidateRow:
        values = dict(record)
        return cls(values.pop("k"), values.pop("seed"), values.pop("log_likelihood"), values)


def ranked(candidates: Sequence[CandidateRow], m: int) -> list[CandidateRow]:
    """The first M candidates, by falling log-likelihood; ties are ordered by k."""
    return sorted(candidates[:m], key=lambda c: (-c.log_likelihood, c.k))


@dataclass(frozen=True)
class DrawsRow:
    """The candidates drawn at a temperature, in the order of k."""

    tau: Temperature
    candidates: tuple[CandidateRow, ...]
    diversity: dict[int, float] | None = None  # by M
    rank_histograms: dict[int, list[float]] | None = None  # by M: the truth's ranks, M + 1 shares
    # By rule of rank, then M: every k, the best first. None of what log-likelihoods and k tell.
    orders: dict[str, dict[int, list[int]]] | None = None

    def ranked(self, m: int, rank: str = "likelihood") -> list[CandidateRow]:
        """The first M candidates, the best first by a rule."""
        if rank == "likelihood":
            return ranked(self.candidates, m)
        if rank == "none":
            return list(self.candidates[:m])
        assert self.orders is not None
        return [self.candidates[k] for k in self.orders[rank][m]]

    def as_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {
            "tau": self.tau.as_json(),
            "candidates": [candidate.as_json() for candidate in self.candidates],
        }
        if self.diversity is not None:
            record["diversity"] = {str(m): value for m, value in self.diversity.items()}
        if self.rank_histograms is not None:
            record["ranks"] = {str(m): shares for m, shares in self.rank_histograms.items()}
        if self.orders is not None:
            record["orders"] = {
                rule: {str(m): order for m, order in orders.items()}
                for rule, orders in self.orders.items()
            }
        return record

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> DrawsRow:
        diversity, ranks = record.get("diversity"), record.get("ranks")
        orders = record.get("orders")
        return cls(
            Temperature.of(record["tau"]),
            tuple(map(CandidateRow.from_json, record["candidates"])),
            None if diversity is None else {int(m): value for m, value in diversity.items()},
            None if ranks is None else {int(m): shares for m, shares in ranks.items()},
            None
            if orders is None
            else {
                rule: {int(m): order for m, order in own.items()} for rule, own in orders.items()
            },
        )


@dataclass(frozen=True)
class PictureRow:
    """One picture of the data."""

    index: int
    name: str
    draws: tuple[DrawsRow, ...]  # one a temperature
    truth: TruthRow | None = None  # scored where bits/dim or likelihoods are asked for
    baseline: Values | None = None  # None where the task has no baseline

    def draws_at(self, tau: Temperature) -> DrawsRow:
        """The draws of a temperature."""
        return next(draws for draws in self.draws if draws.tau == tau)

    def as_json(self) -> dict[str, Any]:
        record: dict[str, Any] = {
            "index": self.index,
            "name": self.name,
            "draws": [draws.as_json() for draws in self.draws],
        }
        if self.truth is not None:
            record["truth"] = self.truth.as_json()
        if self.baseline is not None:
            record["baseline"] = self.baseline
        return record

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> PictureRow:
        truth = record.get("truth")
        return cls(
            record["index"],
            record["name"],
            tuple(map(DrawsRow.from_json, record["draws"])),
            None if truth is None else TruthRow(**truth),
            record.get("baseline"),
        )
