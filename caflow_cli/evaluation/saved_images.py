"""The kept candidates as files."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from ..images import make_folder, read_image, write_png
from ..paths import is_file
from ..tasks import Picture
from .measure import Measured
from .settings import Cell, EvaluationSettings

__all__ = ["SavedImages"]


class SavedImages:
    """`DIR/NAME.png`, with N > 1 `NAME_01.png` and so on; in a sweep, a folder for each setting."""

    def __init__(self, folder: Path, settings: EvaluationSettings) -> None:
        self.folder, self._settings = folder, settings

    def paths(self, cell: Cell, name: str) -> list[Path]:
        """The files of a picture's N kept candidates, best first."""
        folder = self.folder
        if len(self._settings.cells) > 1:
            name_of_cell = f"tau{str(cell.tau).replace('/', '-')}_m{cell.m}_n{cell.n}"
            if len(self._settings.ranks) > 1:
                name_of_cell += f"_{cell.rank}"
            folder = folder / name_of_cell
        stem = PurePosixPath(name).with_suffix("")
        if cell.n == 1:
            return [folder / f"{stem}.png"]
        digits = max(2, len(str(cell.n)))
        return [folder / f"{stem}_{rank:0{digits}d}.png" for rank in range(1, cell.n + 1)]

    def has(self, name: str) -> bool:
        return all(
            is_file(path) for cell in self._settings.cells for path in self.paths(cell, name)
        )

    def put(self, measured: Measured) -> None:
        for cell in self._settings.cells:
            paths = self.paths(cell, measured.problem.name)
            make_folder(paths[0].parent)
            for path, drawn in zip(paths, measured.kept(cell), strict=True):
                write_png(path, drawn.image)

    def read(self, cell: Cell, name: str) -> list[Picture]:
        return [read_image(path) for path in self.paths(cell, name)]
