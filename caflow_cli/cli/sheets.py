"""Sheets over all inputs, PNGs with one row for each: `--grid` and `--uncertainty`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..images import Pixels, atomic_write, encode_png, make_folder
from ..restoration import Candidates
from ..restoration.figures import sheet
from .console import Console
from .drawing import Drawing
from .intervals import Intervals


@dataclass(frozen=True)
class Sheets:
    """The rows so far of the sheets that are wanted."""

    drawing: Drawing
    console: Console
    beside: Intervals | None = None  # what is written beside a result
    grid: list[Pixels] = field(default_factory=list)  # rows
    uncertainty: list[Pixels] = field(default_factory=list)

    def add(self, name: str, found: Candidates) -> None:
        """Add the rows of an image to the sheets that are wanted."""
        label = Path(name).name
        if self.drawing.grid:
            self.grid.append(np.asarray(found.grid(label)))
        if self.drawing.uncertainty:
            chart = self.beside.chart(name, found) if self.beside else None
            if chart is None and len(found.drawn) > 1:  # a single one has no spread
                chart = found.uncertainty(label)
            if chart is not None:
                self.uncertainty.append(chart)

    def write(self) -> None:
        self._write(self.drawing.grid, self.grid)
        self._write(self.drawing.uncertainty, self.uncertainty)

    def _write(self, file: str | None, rows: Sequence[Pixels]) -> None:
        if file is None:
            return
        if not rows:
            self.console.note(f"{file} is not written: there is nothing to show")
            return
        path = Path(file)
        make_folder(path.parent)
        atomic_write(path, encode_png(sheet(rows)), replace=self.drawing.overwrite)
        self.console.note(f"wrote {file}")
