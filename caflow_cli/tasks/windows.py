"""Plan the windows through which a hole is filled, part by part.

`docs/tasks.md` has the rules and their constants. S is the model's side.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from .base import Mask

Box = tuple[slice, slice]  # rows and columns

_Kind = TypeVar("_Kind", bound=np.generic)


class Window(NamedTuple):
    """A region of an image, and its size as the model sees it (unpadded)."""

    rows: slice
    columns: slice
    height: int
    width: int

    def of(self, image: npt.NDArray[_Kind]) -> npt.NDArray[_Kind]:
        return image[self.rows, self.columns]

    @property
    def corner(self) -> tuple[int, int]:
        return self.rows.start, self.columns.start

    @property
    def shrunk(self) -> bool:
        return (_length(self.rows), _length(self.columns)) != (self.height, self.width)

    def contains(self, box: Box) -> bool:
        spans = zip(self[:2], box, strict=True)
        return all(outer.start <= x.start and x.stop <= outer.stop for outer, x in spans)


def window_around(hole: Mask, size: int, least: int = 0) -> Window:
    """The square around a hole, twice as wide as its box, and at least `size` and `least` wide.

    It is shifted and cropped to lie in the image. If it is larger than `size`, it is shrunk to it.
    """
    return _around(_box(hole), max(least, size), hole.shape, size)


def plan_windows(
    hole: Mask,
    size: int,
    rim: int = 0,
    whole: bool = False,
) -> list[Window]:
    """The windows of a hole, in the order in which they are filled.

    Args:
        hole: (H, W), not empty.
        size: The model's side.
        rim: Hole pixels within this distance of a known pixel are filled at native scale.
        whole: Use one shrunk window, at least as wide as the image's shorter side.
    """
    around = window_around(hole, size, min(hole.shape) if whole else 0)
    if whole or not around.shrunk:
        return [around]
    left = hole.copy()
    kept = []
    if rim:
        of_rim = _at_native_scale(edge_of(hole, rim), np.zeros_like(hole), size)
        kept = _in_order(of_rim, left)
    if left.any():
        kept += _in_order(_of_thick_and_thin(left, size), left)
    return kept


def _of_thick_and_thin(hole: Mask, size: int) -> list[Window]:
    """Plan windows for the rest of a hole: around thick parts, then for thin ones."""
    from scipy import ndimage  # imported here, because it takes 0.2 s and few holes need it

    thick = _thick(hole, size)
    thin = hole & ~thick
    windows: list[Window] = []
    labels, _ = ndimage.label(thick, np.ones((3, 3)))  # diagonal neighbors are connected
    for box in ndimage.find_objects(labels):
        if any(not window.shrunk and window.contains(box) for window in windows):
            continue
        window = _around(box, size, hole.shape, size)
        windows.append(window)
        if not window.shrunk:
            window.of(thin)[:] = False
    return windows + _at_native_scale(thin, thick, size)


def _at_native_scale(thin: Mask, avoid: Mask, size: int) -> list[Window]:
    """Plan windows that are not shrunk, row by row, or column by column if that takes fewer."""
    by_row = list(_cover(thin.copy(), avoid, size))
    by_column = list(_cover(thin.T.copy(), avoid.T, size))
    if len(by_row) <= len(by_column):
        return by_row
    return [Window(w.columns, w.rows, w.width, w.height) for w in by_column]


def _in_order(windows: list[Window], left: Mask) -> list[Window]:
    """Sort windows by their share of known pixels, and drop those with nothing left to fill.

    The pixels that they fill are removed from `left`.
    """
    kept = []
    ordered = sorted(windows, key=lambda w: (w.of(left).mean(), w.shrunk, w.corner))
    for window in ordered:
        if window.of(left).any():
            window.of(left)[:] = False
            kept.append(window)
    return kept


def _length(span: slice) -> int:
    return int(span.stop - span.start)


def _box(mask: Mask, top: int = 0, left: int = 0) -> Box:
    """The smallest box around what a mask marks, whose first pixel is at that place."""
    box = Image.fromarray(mask).getbbox()
    assert box is not None, "a mask marks some pixels"
    first_x, first_y, end_x, end_y = box
    return slice(top + first_y, top + end_y), slice(left + first_x, left + end_x)


def _around(
    box: Box,
    least: int,
    shape: tuple[int, ...],
    size: int,
) -> Window:
    """A square twice as wide as the box, at least `least` and no wider than the image."""
    longer = max(map(_length, box))
    side = max(least, min(2 * longer, max(shape)))
    return _square(box, side, shape, size)


def _square(
    box: Box,
    side: int,
    shape: tuple[int, ...],
    size: int,
) -> Window:
    """A square centered on the box, shifted and cropped to lie in the image."""
    rows, height = _span(box[0], side, shape[0], size)
    columns, width = _span(box[1], side, shape[1], size)
    return Window(rows, columns, height, width)


def _span(
    inner: slice,
    side: int,
    length: int,
    size: int,
) -> tuple[slice, int]:
    """One side of a square: what it covers, and how long the model sees it."""
    span = min(side, length)
    first = (inner.start + inner.stop) // 2 - span // 2
    first = min(max(first, 0), length - span)
    seen = max(1, (2 * span * size + side) // (2 * side))
    return slice(first, first + span), seen


def edge_of(hole: Mask, depth: int) -> Mask:
    """Mark the pixels of a hole, bool (H, W), within `depth` pixels of a known one (Chebyshev).

    Outside the image nothing is known.
    """
    from scipy import ndimage  # imported here, because it takes 0.2 s and few holes need it

    inside = ndimage.minimum_filter(hole, 2 * depth + 1, mode="constant", cval=1)
    return np.asarray(hole & ~inside)


def _thick(hole: Mask, size: int) -> Mask:
    """The pixels of the hole in squares of S / 4 + 1 that lie in it, or within S / 8 of them."""
    from scipy import ndimage

    squares = ndimage.grey_opening(hole, size // 4 + 1, mode="constant")
    near = ndimage.maximum_filter(squares, 2 * (size // 8) + 1, mode="constant")
    return np.asarray(hole & near)


def _cover(left: Mask, avoid: Mask, size: int) -> Iterator[Window]:
    """Yield windows at native scale that together cover `left`, which is cleared.

    Greedily, each is the one that covers most of what is left, minus the pixels to avoid, of all
    windows that contain the first pixel left. It is centered on what it covers, if that is free.
    """
    worth = left.astype(np.int32) - avoid
    for row in range(len(left)):
        while left[row].any():
            column = int(left[row].argmax())
            window = _best_window(left, worth, row, column, size)
            window.of(left)[:] = False
            window.of(worth)[:] = np.minimum(window.of(worth), 0)
            yield window


def _best_window(
    left: Mask, worth: npt.NDArray[np.int32], row: int, column: int, size: int
) -> Window:
    """The window that contains a pixel and covers most, centered on what it covers if it can be."""
    height, width = left.shape
    tall = min(size, height)
    wide = min(size, width)
    first = max(0, row - tall + 1)  # the least and the largest row and column of its start
    last = min(row, height - tall)
    near = max(0, column - wide + 1)
    far = min(column, width - wide)
    around = worth[first : last + tall, near : far + wide]
    counts = _sums_over(around, tall, wide)
    best = counts.argmax()
    down, right = np.unravel_index(best, counts.shape)
    top = first + int(down)
    side = near + int(right)
    rows = slice(top, top + tall)
    columns = slice(side, side + wide)
    window = Window(rows, columns, tall, wide)
    box = _box(window.of(left), top, side)
    centered = _square(box, size, left.shape, size)
    down = centered.rows.start - first
    right = centered.columns.start - near
    return centered if counts[down, right] >= counts.max() else window


def _sums_over(values: npt.NDArray[np.int32], tall: int, wide: int) -> npt.NDArray[Any]:
    """The sum over every rectangle of that size, indexed by its first pixel."""
    sums = values.cumsum(0).cumsum(1)
    sums = np.pad(sums, ((1, 0), (1, 0)))
    across = sums[:, wide:] - sums[:, :-wide]
    return np.asarray(across[tall:] - across[:-tall])
