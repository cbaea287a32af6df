"""What a run leaves on disk while it goes on, and how it goes on after a break."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..errors import EXIT_USAGE, CaflowError
from ..images import make_folder, read_image, write_png
from ..paths import exists, is_file
from .plan import Cell, Plan
from .rows import Measured, Row

__all__ = ["RowLog", "SavedImages"]

_LOG = "evaluate.jsonl"


class RowLog:
    """`DIR/evaluate.jsonl`: a line that says what run it is, and a line a finished picture.

    Args:
        folder: Made where it is not there.
        key: All that the rows depend on.
        resume: Whether to go on with a log of the same run.

    Raises:
        CaflowError: (exit 2) there is a log, and it is of another run or not to be gone on with.
    """

    def __init__(self, folder: Path, key: dict[str, Any], resume: bool) -> None:
        self.path = folder / _LOG
        self._key = json.loads(json.dumps(key))
        self._places: dict[str, int] = {}  # byte offset of each picture's row, by name
        if exists(self.path):
            if not resume:
                raise CaflowError(
                    f"{str(self.path)!r} exists", "add --skip-existing to go on", EXIT_USAGE
                )
            self._read_places()

    def _read_places(self) -> None:
        end = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                try:
                    record = json.loads(line)
                    if not line.endswith(b"\n"):
                        break  # of an interrupted write
                except ValueError:
                    break
                if number == 0 and record != self._key:
                    changed = [k for k in self._key if record.get(k) != self._key[k]] or [
                        "its format"
                    ]
                    raise CaflowError(
                        f"{str(self.path)!r} is of another run: {', '.join(changed)} differ",
                        "choose another folder",
                        EXIT_USAGE,
                    )
                if number:
                    self._places[record["name"]] = end
                end += len(line)
        with self.path.open("rb+") as file:
            file.truncate(end)
        if end == 0:
            self.path.unlink()

    def find(self, name: str) -> Row | None:
        """The row of a finished picture."""
        if name not in self._places:
            return None
        with self.path.open("rb") as file:
            file.seek(self._places[name])
            row: Row = json.loads(file.readline())
        return row

    def add(self, row: Row) -> None:
        """Append a row, at once. A picture's last row counts."""
        head = b"" if self.path.exists() else _line(self._key)
        try:
            make_folder(self.path.parent)
            with self.path.open("ab") as file:
                place = file.tell() + len(head)
                file.write(head + _line(row))
        except OSError as error:
            raise CaflowError(
                f"cannot write {str(self.path)!r}: {error.strerror}", "choose another folder"
            ) from error
        self._places[row["name"]] = place

    def rows(self, names: Iterable[str]) -> Iterator[Row]:
        """The rows of those of the pictures that have one."""
        for name in names:
            row = self.find(name)
            if row is not None:
                yield row


def _line(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, allow_nan=False) + "\n").encode()


class SavedImages:
    """`DIR/NAME.png`, with N > 1 `NAME_01.png` and so on; a folder a setting in a sweep."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self._plan = folder, plan

    def paths(self, cell: Cell, name: str) -> list[Path]:
        """The files of a picture's N kept candidates, best first."""
        folder = self.folder
        if len(self._plan.cells) > 1:
            folder = folder / f"tau{cell.tau:g}_m{cell.m}_n{cell.n}"
        stem = PurePosixPath(name).with_suffix("")
        if cell.n == 1:
            return [folder / f"{stem}.png"]
        digits = max(2, len(str(cell.n)))
        return [folder / f"{stem}_{rank:0{digits}d}.png" for rank in range(1, cell.n + 1)]

    def has(self, name: str) -> bool:
        return all(is_file(path) for cell in self._plan.cells for path in self.paths(cell, name))

    def put(self, measured: Measured) -> None:
        for cell in self._plan.cells:
            paths = self.paths(cell, measured.problem.name)
            make_folder(paths[0].parent)
            for path, drawn in zip(paths, measured.kept(cell), strict=True):
                write_png(path, drawn.image)

    def read(self, cell: Cell, name: str) -> list[np.ndarray]:
        return [read_image(path) for path in self.paths(cell, name)]
