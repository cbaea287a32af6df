"""The kinds of run: at which size a model sees images, and which candidates are measured."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from ..config import TaskConfig, Temperature
from .metrics import needing
from .protocols import Protocol

if TYPE_CHECKING:
    from .rows import Draw, Draws


class Cell(NamedTuple):
    """One setting of a sweep: the N best of M candidates at temperature tau, by a ranking rule."""

    tau: Temperature
    candidates: int  # M
    keep: int  # N
    rank: str = "likelihood"


@dataclass(frozen=True)
class Crops:
    """Images are cropped and shrunk to the model's size, and every candidate is measured."""

    form: ClassVar[str] = "model"  # in JSON
    side: int | None = None  # of the images; None: they keep the size in which they are stored

    def cells(
        self, taus: Sequence[Temperature], m: int, keeps: Sequence[int], ranks: Sequence[str]
    ) -> list[Cell]:
        """All settings of a sweep."""
        settings = itertools.product(taus, keeps, ranks)
        return [Cell(tau, m, n, rank) for tau, n, rank in settings]

    def measured(self, draws: Draws, cells: Sequence[Cell]) -> list[Draw]:
        """The candidates to measure, of those drawn for an image at one temperature."""
        return draws.candidates


@dataclass(frozen=True)
class Benchmark(Crops):
    """Whole images keep their size, as in the commands, and only kept candidates are measured."""

    form: ClassVar[str] = "benchmark"
    side: None = None

    def cells(
        self, taus: Sequence[Temperature], m: int, keeps: Sequence[int], ranks: Sequence[str]
    ) -> list[Cell]:
        """All settings of a sweep; temperature 0 has one, because all its candidates are alike."""
        cells = []
        for tau in taus:
            if any(tau.values):
                cells += super().cells([tau], m, keeps, ranks)
            else:
                cells.append(Cell(tau, 1, 1, ranks[0]))
        return cells

    def measured(self, draws: Draws, cells: Sequence[Cell]) -> list[Draw]:
        kept: list[Draw] = []
        for cell in cells:
            if cell.tau == draws.tau:
                best = draws.ranked(cell.rank)[: cell.keep]
                kept += [draw for draw in best if draw not in kept]
        return kept


def kind_of(protocol: Protocol, task: TaskConfig) -> Crops:
    """The kind of a run by a protocol, or without, for a model of that task."""
    if protocol.whole:
        return Benchmark()
    return Crops(None if task.native else task.size)


def offered_metrics(protocol: Protocol) -> list[str]:
    """The metrics that a model can be measured by, with a protocol or without."""
    needs = ["pairs", "benchmark"] if protocol.whole else ["pairs", "sets", "model"]
    if protocol.factor is not None:
        needs.append("samples")
    if protocol.masks:
        needs.append("masks")
    found = needing(*needs)
    return found if "checkerboard" in found else [*found, "checkerboard"]
