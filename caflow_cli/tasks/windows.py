"""The windows through which a hole is filled, part by part.

They follow from the mask, the model's side S (`task.size`) and its rim R (`task.rim`) alone. A
window is a square of S at native scale, or a larger one that is shrunk.

1. If the square around the box of the whole hole, twice as wide as the box and at least S wide, is
   not shrunk, it is the only window.
2. If R is not 0, all of the hole that has a known pixel within R pixels, to the side or diagonally,
   is covered at native scale, as in 4, thick or not. What these windows fill is left out below.
3. A place of the hole is thick if a square of S / 4 + 1 pixels around it lies in the hole. (A band
   of S / 4 takes a quarter of a window.) What of the hole lies within S / 8 pixels of thick places
   belongs to them. Each connected part of it has a window of its own, twice as wide as its box and
   at least S wide; it is shrunk if the box is wider than S / 2.
4. What is left is thin, and covered at native scale. Its first pixel in reading order is taken. Of
   all windows that contain it, the one is chosen that sees most of what is left, less the thick
   places that it sees. It is centred on what it sees of the rest, where that costs nothing. This is
   repeated until nothing is left. It is also done column by column, and what takes fewer windows is
   taken: that follows a flat scratch from end to end.

All windows are moved to lie in the image, and cut to it where it is smaller. The windows of 2
come first. Among them, and among the others, those with the largest share of known pixels come
first. A window fills every pixel of the hole that it sees and that none before it has filled; one
that finds nothing to fill is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import CaflowError

__all__ = ["Mask", "Window", "edge_of", "plan_windows", "window_around"]

Mask = npt.NDArray[np.bool_]  # (H, W), true = fill

_Kind = TypeVar("_Kind", bound=np.generic)
_Counts = npt.NDArray[np.int32]

_MOST = 2**24  # pixels of all windows together, as the model sees them


class Box(NamedTuple):
    """The first and last row and column of something."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def longest(self) -> int:
        return 1 + max(self.bottom - self.top, self.right - self.left)


class Window(NamedTuple):
    """The part of an image that the model sees, and its size there (unpadded)."""

    rows: slice
    columns: slice
    height: int
    width: int

    def of(self, image: npt.NDArray[_Kind]) -> npt.NDArray[_Kind]:
        return image[self.rows, self.columns]

    @property
    def corner(self) -> tuple[int, int]:
        """Its first row and column."""
        return self.rows.start, self.columns.start

    @property
    def shrunk(self) -> bool:
        """Whether it has more pixels than the model sees."""
        spans = (self.rows.stop - self.rows.start, self.columns.stop - self.columns.start)
        return spans != (self.height, self.width)

    @property
    def turned(self) -> Window:
        """It in the transposed image."""
        return Window(self.columns, self.rows, self.width, self.height)

    def holds(self, box: Box) -> bool:
        """Whether it sees all of a box."""
        inside = self.rows.start <= box.top and box.bottom < self.rows.stop
        return bool(inside and self.columns.start <= box.left and box.right < self.columns.stop)


def window_around(hole: Mask, size: int) -> Window:
    """The square around a hole, twice as wide as its box and at least `size` wide.

    It is moved and cut to lie in the image. One larger than `size` is shrunk to it.

    Args:
        hole: (H, W), not empty.
        size: The model's side.
    """
    return _grown(_box(hole), hole.shape, size)


def plan_windows(hole: Mask, size: int, rim: int = 0) -> list[Window]:
    """The windows of a hole, in the order in which they are filled (the rule above).

    Args:
        hole: (H, W), not empty.
        size: The model's side.
        rim: What lies within this many pixels of a known one is filled at native scale.

    Raises:
        CaflowError: There are more windows than 2^24 pixels of the model.
    """
    whole = window_around(hole, size)
    if not whole.shrunk:
        return [whole]
    left = hole.copy()
    first = _at_native_scale(edge_of(hole, rim), np.zeros_like(hole), size) if rim else []
    kept = _in_order(first, left)
    if left.any():
        kept += _in_order(_of_thick_and_thin(left, size), left)
    _check_count(kept, size)
    return kept


def _of_thick_and_thin(hole: Mask, size: int) -> list[Window]:
    """The windows of 3 and 4, in any order."""
    thick = _thick(hole, size)
    thin = hole & ~thick
    windows: list[Window] = []
    native: list[Window] = []
    for box in _boxes(thick):
        if any(window.holds(box) for window in native):
            continue
        window = _grown(box, hole.shape, size)
        windows.append(window)
        _check_count(windows, size)
        if not window.shrunk:
            native.append(window)
            window.of(thin)[:] = False
    windows += _at_native_scale(thin, thick, size, len(windows))
    return windows


def _at_native_scale(thin: Mask, avoid: Mask, size: int, already: int = 0) -> list[Window]:
    """Windows that are not shrunk: row by row, or column by column if that takes fewer."""
    room = _MOST // size**2 - already + 1  # one too many is enough to know
    down = list(islice(_cover(thin.copy(), avoid, size), room))
    right = [window.turned for window in islice(_cover(thin.T.copy(), avoid.T, size), room)]
    found = right if len(right) < len(down) else down
    _check_count(found, size, already)
    return found


def _in_order(windows: list[Window], left: Mask) -> list[Window]:
    """Sort windows by their share of known pixels, and leave out those that find nothing.

    What they fill is taken from `left`.
    """
    windows.sort(key=lambda w: (w.of(left).mean(), w.shrunk, w.corner))
    kept = []
    for window in windows:
        if window.of(left).any():
            window.of(left)[:] = False
            kept.append(window)
    return kept


def _check_count(windows: list[Window], size: int, already: int = 0) -> None:
    if (len(windows) + already) * size**2 > _MOST:
        raise CaflowError(
            f"the hole takes more than {_MOST // size**2} windows of {size}x{size} pixels",
            "paint less of the mask white, or shrink the image and the mask",
        )


def _box(mask: Mask) -> Box:
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return Box(int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1]))


def _grown(box: Box, shape: tuple[int, ...], size: int) -> Window:
    return _square(box, max(size, min(2 * box.longest, max(shape))), shape, size)


def _square(box: Box, side: int, shape: tuple[int, ...], size: int) -> Window:
    """A square in the middle of which the box lies, moved and cut to lie in the image."""
    spans, sizes = [], []
    ends = (box[:2], box[2:])
    for (start, last), length in zip(ends, shape, strict=True):
        span = min(side, length)
        middle = (start + last + 1) // 2
        first = min(max(middle - span // 2, 0), length - span)
        spans.append(slice(first, first + span))
        sizes.append(max(1, (2 * span * size + side) // (2 * side)))
    return Window(spans[0], spans[1], sizes[0], sizes[1])


def edge_of(hole: Mask, depth: int) -> Mask:
    """Mark what of a hole has a known pixel within `depth` pixels, to the side or diagonally.

    bool (H, W) to the same.
    """
    # What lies outside the image is not known either.
    inside = _over_squares(np.logical_and, np.pad(hole, depth, constant_values=True), 2 * depth + 1)
    return hole & ~inside


def _thick(hole: Mask, size: int) -> Mask:
    """The places of the hole that are too thick to be seen across, and what belongs to them."""
    side = size // 4 + 1
    if min(hole.shape) < side:
        return np.zeros_like(hole)
    inside = _over_squares(np.logical_and, hole, side)  # squares in the hole, by their first pixel
    reach = side - 1 + size // 8
    near = _over_squares(np.logical_or, np.pad(inside, reach), side + 2 * (size // 8))
    return hole & near


def _over_squares(join: np.ufunc, mask: Mask, side: int) -> Mask:
    """The "and" or "or" over all squares that lie in a mask, by their first pixel."""
    for _ in range(2):  # down, then to the right
        span = 1
        while span < side:
            step = min(span, side - span)
            mask = join(mask[:-step], mask[step:])
            span += step
        mask = mask.T
    return mask


def _sums(values: _Counts, tall: int, wide: int) -> _Counts:
    """The sums over all windows that lie in an array, (H, W) to (H - tall + 1, W - wide + 1)."""
    sums = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    found = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide] + sums[:-tall, :-wide]
    return np.asarray(found, np.int32)


def _boxes(mask: Mask) -> list[Box]:
    """The boxes of the parts of a mask whose pixels touch, corners included, in reading order."""
    from scipy import ndimage  # here, because it takes 0.2 s and few holes need it

    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    return [
        Box(rows.start, rows.stop - 1, columns.start, columns.stop - 1)
        for rows, columns in ndimage.find_objects(labels)
    ]


def _cover(left: Mask, avoid: Mask, size: int) -> Iterator[Window]:
    """Windows at native scale that see all that is left, which they empty."""
    shape = height, width = left.shape
    tall, wide = min(size, height), min(size, width)
    worth = left.astype(np.int32) - avoid
    row = 0
    while row < height:
        if not left[row].any():
            row += 1
            continue
        column = int(left[row].argmax())
        tops, lefts = _starts(row, tall, height), _starts(column, wide, width)
        near = worth[tops.start : tops.stop - 1 + tall, lefts.start : lefts.stop - 1 + wide]
        counts = _sums(near, tall, wide)
        top, side = (int(place) for place in np.unravel_index(counts.argmax(), counts.shape))
        box = _box(left[tops[top] :, lefts[side] :][:tall, :wide])
        box = Box(*(at + tops[top] for at in box[:2]), *(at + lefts[side] for at in box[2:]))
        window = _square(box, size, shape, size)
        centred = counts[window.rows.start - tops.start, window.columns.start - lefts.start]
        if centred < counts[top, side]:
            rows = slice(tops[top], tops[top] + tall)
            columns = slice(lefts[side], lefts[side] + wide)
            window = Window(rows, columns, tall, wide)
        window.of(left)[:] = False
        window.of(worth)[:] = np.minimum(window.of(worth), 0)
        yield window


def _starts(place: int, span: int, length: int) -> range:
    """Where windows of that span may start that contain a place."""
    return range(max(0, place - span + 1), min(place, length - span) + 1)
