"""The files of an unfinished evaluation, and how an interrupted one is continued."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EXIT_USAGE, CaflowError
from ..images import make_folder
from ..paths import exists
from ..version import __version__
from .measure import Measured
from .picture_row import PictureRow
from .report import ReportImages
from .saved_images import SavedImages
from .settings import EvaluationSettings

__all__ = ["RowLog", "RowOrigin", "RunFiles"]

_LOG = "evaluate.jsonl"


@dataclass(frozen=True)
class RowOrigin:
    """Everything that the rows of a log depend on. A log has rows of one origin only."""

    data: str
    task: str
    model: dict[str, str] | None  # its identity, where it is known
    split: str
    split_seed: int | None  # None: the set itself says what is in it
    size: int | None  # of the pictures; None: they are measured as they are
    settings: EvaluationSettings

    def as_json(self) -> dict[str, Any]:
        return {
            "version": __version__,
            "data": self.data,
            "task": self.task,
            "model": self.model,
            "split": self.split,
            "split_seed": self.split_seed,
            "size": self.size,
            **self.settings.as_json(),
        }


class RowLog:
    """`DIR/evaluate.jsonl`: a line for the rows' origin, and a line for each finished picture.

    Args:
        folder: Created if missing.
        origin: Origin of the rows, both new and existing.
        resume: Whether to go on with a log of the same origin.

    Raises:
        CaflowError: (exit 2) there is a log of another origin, or there is a log and `resume` is
            not set.
    """

    def __init__(self, folder: Path, origin: RowOrigin, resume: bool) -> None:
        self.path = folder / _LOG
        self._origin: dict[str, Any] = json.loads(
            json.dumps(origin.as_json())
        )  # as it reads in a log
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
                if number == 0 and record != self._origin:
                    changed = [
                        name for name, value in self._origin.items() if record.get(name) != value
                    ] or ["its format"]
                    raise CaflowError(
                        f"{str(self.path)!r} belongs to another run: {', '.join(changed)} differ",
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

    def find(self, name: str) -> PictureRow | None:
        """The row of a finished picture."""
        if name not in self._places:
            return None
        with self.path.open("rb") as file:
            file.seek(self._places[name])
            return PictureRow.from_json(json.loads(file.readline()))

    def add(self, row: PictureRow) -> None:
        """Append a row and flush it. If a picture has several rows, the last one counts."""
        head = b"" if self.path.exists() else _line(self._origin)
        try:
            make_folder(self.path.parent)
            with self.path.open("ab") as file:
                place = file.tell() + len(head)
                file.write(head + _line(row.as_json()))
        except OSError as error:
            raise CaflowError(
                f"cannot write {str(self.path)!r}: {error.strerror}", "choose another folder"
            ) from error
        self._places[row.name] = place

    def rows(self, names: Iterable[str]) -> Iterator[PictureRow]:
        """The rows of the given pictures, without those that have none."""
        for name in names:
            row = self.find(name)
            if row is not None:
                yield row


def _line(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, allow_nan=False) + "\n").encode()


@dataclass(frozen=True, eq=False)
class RunFiles:
    """The files that an evaluation writes as it goes on. A file that is not wanted is None."""

    log: RowLog | None
    images: SavedImages | None
    gallery: ReportImages | None

    def put(self, measured: Measured) -> None:
        """Write the files of a picture."""
        if self.images is not None:
            self.images.put(measured)
        if self.gallery is not None:
            self.gallery.put(measured)

    def add(self, row: PictureRow) -> None:
        """Add a picture's row. It is written last, so that the files of every row exist."""
        if self.log is not None:
            self.log.add(row)

    def find(self, index: int, name: str, needs_images: bool) -> PictureRow | None:
        """The row of a picture that an earlier run finished; None if a file of it is missing."""
        row = None if self.log is None else self.log.find(name)
        if row is None or row.index != index:
            return None
        whole = (self.images is None or self.images.has(name)) and (
            self.gallery is None or self.gallery.has(index)
        )
        return row if whole and not (needs_images and self.images is None) else None
