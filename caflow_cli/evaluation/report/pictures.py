"""The pictures of the gallery, written as they are measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ...errors import EXIT_USAGE, CaflowError
from ...images import make_folder, write_png
from ...paths import exists
from ...tasks import Picture
from ..measure import Measured
from ..settings import Cell, EvaluationSettings

__all__ = ["ERROR_SCALE", "ReportImages", "error_map", "shown_cell"]

ERROR_SCALE = 64  # levels at the bright end of an error map
# Dark to bright, evenly spaced: read as numbers on both page colours.
_STOPS = np.array(
    [[13, 14, 40], [84, 28, 109], [176, 49, 90], [240, 116, 54], [250, 230, 140]], np.float64
)


def shown_cell(settings: EvaluationSettings) -> Cell | None:
    """The setting whose candidates the gallery shows: first temperature and rule, largest M."""
    if not settings.draws:
        return None
    return Cell(settings.taus[0], settings.most, settings.most, settings.ranks[0])


def error_map(image: Picture, truth: Picture) -> Picture:
    """The mean absolute error over channels as colour, uint8 (H, W, 3), clipped at 64 levels."""
    error = np.abs(image.astype(np.float64) - truth).mean(2)
    place = np.minimum(error / ERROR_SCALE, 1) * (len(_STOPS) - 1)
    low = np.minimum(place.astype(int), len(_STOPS) - 2)
    part = (place - low)[..., None]
    colour = _STOPS[low] * (1 - part) + _STOPS[low + 1] * part
    return np.array(np.rint(colour), np.uint8)


class ReportImages:
    """`DIR/images/00012/`: input, baseline, truth, candidates by rank, error of the likeliest."""

    def __init__(self, folder: Path, settings: EvaluationSettings, resume: bool) -> None:
        if exists(folder / "index.html") and not resume:
            raise CaflowError(
                f"{str(folder / 'index.html')!r} exists", "choose another --report DIR", EXIT_USAGE
            )
        self._folder, self._cell = folder, shown_cell(settings)

    def _of(self, index: int) -> Path:
        return self._folder / "images" / f"{index:05d}"

    def has(self, index: int) -> bool:
        return (self._of(index) / "truth.png").is_file()  # the last that is written

    def put(self, measured: Measured) -> None:
        """Write the pictures that belong to a measured picture."""
        folder, problem = self._of(measured.problem.index), measured.problem
        make_folder(folder)
        write_png(folder / "input.png", problem.input)
        if problem.baseline is not None:
            write_png(folder / "baseline.png", problem.baseline)
        if self._cell is not None:
            kept = measured.kept(self._cell)
            for rank, drawn in enumerate(kept, 1):
                write_png(folder / f"c{rank:02d}.png", drawn.image)
            write_png(folder / "error.png", error_map(kept[0].image, problem.truth))
        write_png(folder / "truth.png", problem.truth)
