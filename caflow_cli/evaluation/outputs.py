"""The files that an evaluation writes as it goes on, and the rows that an earlier run left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ..errors import CaflowError, usage_error
from ..images import make_folder, write_png
from ..paths import exists
from ..tasks import Pixels
from ..version import __version__
from .examples import Example
from .result import Row, draws_of, ranked
from .settings import Cell, Settings

__all__ = ["ERROR_SCALE", "Measured", "Outputs", "shown_cell"]

ERROR_SCALE = 64  # levels at the bright end of an error map
# Dark to bright, evenly spaced: read as numbers on both page colours.
_STOPS = np.array(
    [[13, 14, 40], [84, 28, 109], [176, 49, 90], [240, 116, 54], [250, 230, 140]], np.float64
)


@dataclass(frozen=True, eq=False)
class Measured:
    """An example, its row, and the images that were measured."""

    example: Example
    row: Row
    baselines: dict[str, Pixels]  # by name
    # Candidates in the order of k, one list for each entry of the row's `draws`.
    drawn: list[list[Pixels]] = field(default_factory=list)

    def kept(self, cell: Cell) -> list[Pixels]:
        """The N best of the first M candidates, best first."""
        draws = draws_of(self.row, cell.tau, cell.m)
        images = self.drawn[self.row["draws"].index(draws)]
        return [images[c["k"]] for c in ranked(draws, cell.m, cell.rank)[: cell.n]]


def shown_cell(settings: Settings) -> Cell | None:
    """The setting whose candidates the gallery shows: first temperature and rule, largest M."""
    cells = [cell for cell in settings.cells if cell.tau == settings.tau[0]]
    if not cells:
        return None
    m = max(cell.m for cell in cells)
    return cells[0]._replace(m=m, n=m)


class Outputs:
    """`evaluate.jsonl`, which has a row a line, the kept candidates, and the gallery's images.

    `DIR/NAME.png` is the kept candidate, with N > 1 `NAME_01.png` and so on; in a sweep there is a
    folder for each setting. `REPORT/images/00012/` has input, baseline, truth, candidates by rank
    and the error of the first.

    Args:
        settings: Which files are wanted.
        origin: All that the rows depend on, as JSON. It is the first line of the log.
        names: Of all images.

    Raises:
        CaflowError: (exit 2) there is a log of another origin, or it is not to be continued; or two
            images would be saved under one name.
    """

    def __init__(self, settings: Settings, origin: dict[str, Any], names: Sequence[str]) -> None:
        self._settings, self._names, self._cell = settings, names, shown_cell(settings)
        self._log = None if settings.folder is None else settings.folder / "evaluate.jsonl"
        self._origin = json.dumps({"version": __version__, **origin}, allow_nan=False)
        self.rows: dict[int, Row] = {}  # of an earlier run, by index
        if settings.save_images is not None:
            self._check_names()
        page = None if settings.report is None else Path(settings.report) / "index.html"
        for path in (self._log, page):
            if path is not None and exists(path) and not settings.skip_existing:
                raise usage_error(f"{str(path)!r} exists", "another folder, or --skip-existing")
        if self._log is not None and exists(self._log):
            self._read_rows(self._log)

    def _check_names(self) -> None:
        seen: dict[PurePosixPath, str] = {}
        for name in self._names:
            stem = PurePosixPath(name).with_suffix("")
            if stem in seen:
                raise usage_error(
                    f"{seen[stem]!r} and {name!r} would both be saved as {f'{stem}.png'!r}",
                    "rename one of them",
                )
            seen[stem] = name

    def _read_rows(self, log: Path) -> None:
        """Read what an earlier run finished. A line that it did not end is dropped."""
        head, *lines = log.read_text("utf-8").splitlines(keepends=True) or [""]
        if head and head.strip() != self._origin:
            before, now = json.loads(head), json.loads(self._origin)
            changed = [key for key, value in now.items() if before.get(key) != value]
            raise usage_error(
                f"{str(log)!r} belongs to another run: {', '.join(changed)} differ",
                "choose another folder",
            )
        lines = [line for line in lines if line.endswith("\n")]
        log.write_text("".join([head, *lines]), "utf-8")
        if self._settings.sets or self._settings.save_stats:  # which need every image
            return
        for row in map(json.loads, lines):
            if row["index"] < len(self._names) and self._names[row["index"]] == row["name"]:
                self.rows[row["index"]] = row

    def add(self, measured: Measured) -> None:
        """Write the files of an image, and its row last. CaflowError if that fails."""
        settings, example = self._settings, measured.example
        if settings.save_images is not None:
            for cell in settings.cells:
                paths = self._paths(Path(settings.save_images), cell, example.name)
                make_folder(paths[0].parent)
                for path, image in zip(paths, measured.kept(cell), strict=True):
                    write_png(path, image)
        if settings.report is not None:
            self._add_to_gallery(Path(settings.report), measured)
        if self._log is None:
            return
        lines = json.dumps(measured.row, allow_nan=False) + "\n"
        if not self._log.exists():
            lines = f"{self._origin}\n{lines}"
        try:
            make_folder(self._log.parent)
            with self._log.open("a", encoding="utf-8") as file:
                file.write(lines)
        except OSError as error:
            raise CaflowError(
                f"cannot write {str(self._log)!r}: {error.strerror}", "choose another folder"
            ) from error

    def _paths(self, folder: Path, cell: Cell, name: str) -> list[Path]:
        """The files of an image's N kept candidates, best first."""
        if len(self._settings.cells) > 1:
            several = len({cell.rank for cell in self._settings.cells}) > 1
            name_of_cell = f"tau{cell.tau}_m{cell.m}_n{cell.n}".replace("/", "-")
            folder /= f"{name_of_cell}_{cell.rank}" if several else name_of_cell
        stem = PurePosixPath(name).with_suffix("")
        if cell.n == 1:
            return [folder / f"{stem}.png"]
        digits = max(2, len(str(cell.n)))
        return [folder / f"{stem}_{rank:0{digits}d}.png" for rank in range(1, cell.n + 1)]

    def _add_to_gallery(self, report: Path, measured: Measured) -> None:
        example = measured.example
        folder = report / "images" / f"{example.index:05d}"
        make_folder(folder)
        write_png(folder / "input.png", example.input)
        for image in list(measured.baselines.values())[:1]:
            write_png(folder / "baseline.png", image)
        if self._cell is not None:
            kept = measured.kept(self._cell)
            for rank, image in enumerate(kept, 1):
                write_png(folder / f"c{rank:02d}.png", image)
            write_png(folder / "error.png", _error_map(kept[0], example.truth))
        write_png(folder / "truth.png", example.truth)


def _error_map(image: Pixels, truth: Pixels) -> Pixels:
    """The mean absolute error over channels as colour, uint8 (H, W, 3), clipped at 64 levels."""
    error = np.abs(image.astype(np.float64) - truth).mean(2)
    place = np.minimum(error / ERROR_SCALE, 1) * (len(_STOPS) - 1)
    low = np.minimum(place.astype(int), len(_STOPS) - 2)
    part = (place - low)[..., None]
    return np.array(np.rint(_STOPS[low] * (1 - part) + _STOPS[low + 1] * part), np.uint8)
