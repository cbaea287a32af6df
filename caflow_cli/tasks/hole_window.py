"""A window onto a hole: what the model sees of a picture there, and what it fills."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .base import Picture, Place, check_same_size, pad, resize
from .windows import Mask, Window

__all__ = ["HoleWindow", "marked"]

_FILL = 128  # of the hole, with a mask channel beside it


@dataclass(frozen=True, eq=False)
class HoleWindow:
    """One part of the filling of a hole.

    A window larger than the model's side is shrunk by Pillow BICUBIC, without the pixels in the
    hole. A shrunk pixel that touches the hole belongs to it. A smaller picture is padded by
    reflection.
    """

    window: Window
    hole: Mask  # of the window: what is filled here
    earlier: Mask  # of the window: what earlier parts have filled
    channels: int  # of the condition
    side: int  # of the model's picture

    @property
    def place(self) -> Place:
        """Where it is, and how much is filled here."""
        (top, left), (height, width) = self.window.corner, self.hole.shape
        return Place((left, top, width, height), int(self.hole.sum()), self.window.shrunk)

    def condition(self, image: Picture) -> Picture:
        """The window's known pixels, shrunk and padded: uint8 (side, side, channels).

        Args:
            image: Of which earlier parts are filled.
        """
        return self._condition(self.window.of(image))

    def compose(self, image: Picture, draw: Picture) -> Picture:
        """Enlarge the draw and put it into the hole of a copy of the picture."""
        result = image.copy()
        self.fill(result, draw)
        return result

    def fill(self, image: Picture, draw: Picture) -> None:
        """Do as `compose`, in place: a large picture with many parts is copied only once."""
        window = self.window
        known, cells = self._shrink(window.of(image))
        # Outside the hole the draw is only nearly the picture, and would show at its edge.
        patch = np.where(cells[..., None], draw[: window.height, : window.width], known)
        window.of(image)[self.hole] = resize(patch, *self.hole.shape)[self.hole]

    def reduce(self, image: Picture, target: Picture) -> tuple[Picture, Picture]:
        """Compute the windows of picture and target at model scale, padded.

        What earlier parts have filled is taken from the target.

        Raises:
            CaflowError: (exit 1) the target has another size than the picture.
        """
        check_same_size(image, target)
        window = self.window
        part = window.of(target)
        known, cells = self._shrink(part)
        whole = resize(np.ascontiguousarray(part), window.height, window.width)
        reduced = np.where(cells[..., None], whole, known)
        before = np.where(self.earlier[..., None], part, window.of(image))
        return self._condition(before), pad(reduced, self.side)

    def spread(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Put a map over what the model sees on the window's pixels: (..., side, side) to (..., H,
        W), with the same sum.

        What lies over padding goes to the pixels that it repeats. A shrunk pixel's value is divided
        evenly among the pixels that it stands for.
        """
        spans = (self.window.height, self.window.width)
        for axis, (cells, pixels) in enumerate(zip(spans, self.hole.shape, strict=True), -2):
            columns = np.moveaxis(values, axis, 0)
            folded = np.zeros((cells, *columns.shape[1:]))
            np.add.at(folded, pad(np.arange(cells)[:, None], self.side)[:, 0], columns)
            cell = np.arange(pixels) * cells // pixels
            counts = np.bincount(cell, minlength=cells).reshape(-1, *[1] * (values.ndim - 1))
            values = np.moveaxis((folded / counts)[cell], 0, axis)
        return values

    def _condition(self, part: Picture) -> Picture:
        known, cells = self._shrink(part)
        return pad(marked(known, cells, self.channels), self.side)

    def _shrink(self, part: Picture) -> tuple[Picture, Mask]:
        """Shrink the window's known pixels to model scale, and mark cells that touch the hole.

        The result is BICUBIC of the known pixels divided by BICUBIC of their weight, which is 1 for
        known pixels: (h, w, 3).
        """
        inside = self.hole
        size = (self.window.height, self.window.width)
        if inside.shape == size:
            return part, inside
        cells = _touched(_touched(inside, size[0]).T, size[1]).T
        weight = resize((~inside).astype(np.float32), *size)
        weight[cells] = 1  # unused, and may be 0
        known = [
            resize(np.where(inside, 0, part[..., c]).astype(np.float32), *size) / weight
            for c in range(3)
        ]
        return np.rint(np.stack(known, -1)).clip(0, 255).astype(np.uint8), cells


def marked(image: Picture, hole: Mask, channels: int) -> Picture:
    """Make a condition: the picture with the hole in one colour and, if wanted, the mask.

    With 4 channels it is RGB, 128 in the hole, and the mask (0 or 255); with 3, RGB with a black
    hole: uint8 (h, w, channels).
    """
    if channels == 3:
        return np.where(hole[..., None], np.uint8(0), image)
    result = np.empty((*hole.shape, 4), np.uint8)
    result[..., :3] = np.where(hole[..., None], np.uint8(_FILL), image)
    result[..., 3] = np.where(hole, np.uint8(255), np.uint8(0))
    return result


def _touched(hole: Mask, cells: int) -> Mask:
    """Whether any row of each cell is true, (N, W) to (cells, W). Cells may share a row."""
    rows = len(hole)
    edges = np.arange(cells + 1) * rows
    first, last = edges[:-1] // cells, -(-edges[1:] // cells)
    counts = np.concatenate([np.zeros_like(hole[:1], np.int32), hole.cumsum(0, dtype=np.int32)])
    return counts[last] > counts[first]
