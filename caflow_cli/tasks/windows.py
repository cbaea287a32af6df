"""The windows through which a hole is filled, part by part.

`docs/tasks.md` has the rule, whose numbers are used below. S is the model's side.
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

_MOST = 2**24  # pixels of all windows together, as the model sees them


class Box(NamedTuple):
    """The first and last row and column of something."""

    top: int
    bottom: int
    left: int
    right: int


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

    def holds(self, box: Box) -> bool:
        """Whether it sees all of a box."""
        inside = self.rows.start <= box.top and box.bottom < self.rows.stop
        return bool(inside and self.columns.start <= box.left and box.right < self.columns.stop)


def window_around(hole: Mask, size: int) -> Window:
    """The square around a hole, twice as wide as its box and at least `size` wide.

    It is moved and cut to lie in the image. One larger than `size` is shrunk to it.
    """
    return _around(_box(hole), hole.shape, size)


def plan_windows(hole: Mask, size: int, rim: int = 0) -> list[Window]:
    """The windows of a hole, in the order in which they are filled.

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
    """The windows of rules 3 and 4, in any order."""
    thick = _thick(hole, size)
    thin = hole & ~thick
    windows: list[Window] = []
    for box in _boxes(thick):
        if any(window.holds(box) for window in windows if not window.shrunk):
            continue
        windows.append(_around(box, hole.shape, size))
        _check_count(windows, size)
        if not windows[-1].shrunk:
            windows[-1].of(thin)[:] = False
    return windows + _at_native_scale(thin, thick, size)


def _at_native_scale(thin: Mask, avoid: Mask, size: int) -> list[Window]:
    """Windows that are not shrunk: row by row, or column by column if that takes fewer."""
    room = _MOST // size**2 + 1  # one too many is enough to know
    down = list(islice(_cover(thin.copy(), avoid, size), room))
    right = list(islice(_cover(thin.T.copy(), avoid.T, size), room))
    if len(right) < len(down):
        down = [Window(w.columns, w.rows, w.width, w.height) for w in right]
    _check_count(down, size)
    return down


def _in_order(windows: list[Window], left: Mask) -> list[Window]:
    """Sort windows by their share of known pixels, and leave out those that find nothing.

    What they fill is taken from `left`.
    """
    kept = []
    for window in sorted(windows, key=lambda w: (w.of(left).mean(), w.shrunk, w.corner)):
        if window.of(left).any():
            window.of(left)[:] = False
            kept.append(window)
    return kept


def _check_count(windows: list[Window], size: int) -> None:
    if len(windows) * size**2 > _MOST:
        raise CaflowError(
            f"the hole takes more than {_MOST // size**2} windows of {size}x{size} pixels",
            "paint less of the mask white, or shrink the image and the mask",
        )


def _box(mask: Mask) -> Box:
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return Box(int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1]))


def _around(box: Box, shape: tuple[int, ...], size: int) -> Window:
    longest = 1 + max(box.bottom - box.top, box.right - box.left)
    return _square(box, max(size, min(2 * longest, max(shape))), shape, size)


def _square(box: Box, side: int, shape: tuple[int, ...], size: int) -> Window:
    """A square in the middle of which the box lies, moved and cut to lie in the image."""
    spans, sizes = [], []
    for (start, last), length in zip((box[:2], box[2:]), shape, strict=True):
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
    """What of the hole lies in thick places, or within S / 8 pixels of them."""
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


def _boxes(mask: Mask) -> list[Box]:
    """The boxes of the parts of a mask whose pixels touch, corners included, in reading order."""
    from scipy import ndimage  # here, because it takes 0.2 s and few holes need it

    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    return [
        Box(rows.start, rows.stop - 1, columns.start, columns.stop - 1)
        for rows, columns in ndimage.find_objects(labels)
    ]


def _cover(left: Mask, avoid: Mask, size: int) -> Iterator[Window]:
    """Windows at native scale that see all that is left, which they empty.

    Each is the one of all that contain the first pixel left that sees most of what is left, less
    the places to avoid that it sees. It is centred on what it sees, where that costs nothing.
    """
    shape = height, width = left.shape
    tall, wide = min(size, height), min(size, width)
    worth = left.astype(np.int32) - avoid
    row = 0
    while row < height:
        if not left[row].any():
            row += 1
            continue
        column = int(left[row].argmax())
        tops = range(max(0, row - tall + 1), min(row, height - tall) + 1)
        lefts = range(max(0, column - wide + 1), min(column, width - wide) + 1)
        near = worth[tops.start : tops.stop - 1 + tall, lefts.start : lefts.stop - 1 + wide]
        sums = np.pad(near.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        counts = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide]
        counts += sums[:-tall, :-wide]
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
