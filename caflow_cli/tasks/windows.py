"""Plan the windows through which a hole is filled, part by part.

`docs/tasks.md` has the rules and their constants. S is the model's side.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import ensure
from .base import Mask

Box = tuple[slice, slice]  # rows and columns

_Kind = TypeVar("_Kind", bound=np.generic)

_MOST = 2**24  # pixels of all windows together, as the model sees them


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


def window_around(hole: Mask, size: int) -> Window:
    """The square around a hole, twice as wide as its box and at least `size` wide.

    It is shifted and cropped to lie in the image. If it is larger than `size`, it is shrunk to it.
    """
    return _around(_box(hole), hole.shape, size)


def plan_windows(hole: Mask, size: int, rim: int = 0, whole: bool = False) -> list[Window]:
    """The windows of a hole, in the order in which they are filled.

    Args:
        hole: (H, W), not empty.
        size: The model's side.
        rim: Hole pixels within this distance of a known pixel are filled at native scale.
        whole: Use one shrunk window, at least as wide as the image's shorter side.

    Raises:
        CaflowError: All windows together have more than 2^24 pixels at the model's size.
    """
    if whole:
        box, (short, long) = _box(hole), sorted(hole.shape)
        side = max(short, min(2 * max(map(_length, box)), long))
        return [_square(box, side, hole.shape, size)]
    around = window_around(hole, size)
    if not around.shrunk:
        return [around]
    left = hole.copy()
    first = _at_native_scale(edge_of(hole, rim), np.zeros_like(hole), size) if rim else []
    kept = _in_order(first, left)
    if left.any():
        kept += _in_order(_of_thick_and_thin(left, size), left)
    _check_count(kept, size)
    return kept


def _of_thick_and_thin(hole: Mask, size: int) -> list[Window]:
    from scipy import ndimage  # imported here, because it takes 0.2 s and few holes need it

    thick = _thick(hole, size)
    thin = hole & ~thick
    windows: list[Window] = []
    labels, _ = ndimage.label(thick, np.ones((3, 3)))  # diagonal neighbours are connected
    for box in ndimage.find_objects(labels):
        held = (
            w.rows.start <= box[0].start
            and box[0].stop <= w.rows.stop
            and w.columns.start <= box[1].start
            and box[1].stop <= w.columns.stop
            for w in windows
            if not w.shrunk
        )
        if not any(held):
            windows.append(_around(box, hole.shape, size))
            _check_count(windows, size)
            if not windows[-1].shrunk:
                windows[-1].of(thin)[:] = False
    return windows + _at_native_scale(thin, thick, size)


def _at_native_scale(thin: Mask, avoid: Mask, size: int) -> list[Window]:
    """Plan windows that are not shrunk, row by row, or column by column if that takes fewer."""
    room = _MOST // size**2 + 1  # stop at one too many
    found = list(islice(_cover(thin.copy(), avoid, size), room))
    right = list(islice(_cover(thin.T.copy(), avoid.T, size), room))
    if len(right) < len(found):
        found = [Window(w.columns, w.rows, w.width, w.height) for w in right]
    _check_count(found, size)
    return found


def _in_order(windows: list[Window], left: Mask) -> list[Window]:
    """Sort windows by their share of known pixels, and drop those with nothing left to fill.

    The pixels that they fill are removed from `left`.
    """
    kept = []
    for window in sorted(windows, key=lambda w: (w.of(left).mean(), w.shrunk, w.corner)):
        if window.of(left).any():
            window.of(left)[:] = False
            kept.append(window)
    return kept


def _check_count(windows: list[Window], size: int) -> None:
    ensure(
        len(windows) * size**2 <= _MOST,
        f"the hole needs more than {_MOST // size**2} windows of {size}x{size} pixels",
        "paint less of the mask white, or shrink the image and the mask",
    )


def _length(span: slice) -> int:
    return int(span.stop - span.start)


def _box(mask: Mask, top: int = 0, left: int = 0) -> Box:
    rows, columns = (np.flatnonzero(mask.any(axis)).tolist() for axis in (1, 0))
    down = slice(top + rows[0], top + rows[-1] + 1)
    return down, slice(left + columns[0], left + columns[-1] + 1)


def _around(box: Box, shape: tuple[int, ...], size: int) -> Window:
    return _square(box, max(size, min(2 * max(map(_length, box)), max(shape))), shape, size)


def _square(box: Box, side: int, shape: tuple[int, ...], size: int) -> Window:
    """A square centred on the box, shifted and cropped to lie in the image."""
    spans, sizes = [], []
    for own, length in zip(box, shape, strict=True):
        span = min(side, length)
        first = min(max((own.start + own.stop) // 2 - span // 2, 0), length - span)
        spans.append(slice(first, first + span))
        sizes.append(max(1, (2 * span * size + side) // (2 * side)))
    return Window(spans[0], spans[1], sizes[0], sizes[1])


def edge_of(hole: Mask, depth: int) -> Mask:
    """Mark the pixels of a hole, bool (H, W), within `depth` pixels of a known one (Chebyshev).

    Outside the image nothing is known.
    """
    inside = _over_squares(np.logical_and, np.pad(hole, depth, constant_values=True), 2 * depth + 1)
    return hole & ~inside


def _thick(hole: Mask, size: int) -> Mask:
    """The pixels of the hole in thick places, or within S / 8 pixels of them."""
    side = size // 4 + 1
    if min(hole.shape) < side:
        return np.zeros_like(hole)
    inside = _over_squares(np.logical_and, hole, side)  # first pixels of squares in the hole
    around = np.pad(inside, side - 1 + size // 8)
    return hole & _over_squares(np.logical_or, around, side + 2 * (size // 8))


def _over_squares(join: np.ufunc, mask: Mask, side: int) -> Mask:
    """The "and" or "or" over every square within the mask, indexed by the square's first pixel."""
    for _ in range(2):  # down, then to the right
        span = 1
        while span < side:
            step = min(span, side - span)
            mask = join(mask[:-step], mask[step:])
            span += step
        mask = mask.T
    return mask


def _cover(left: Mask, avoid: Mask, size: int) -> Iterator[Window]:
    """Yield windows at native scale that together cover `left`, which is cleared.

    Greedily, each is the one that covers most of what is left, minus the pixels to avoid, of all
    windows that contain the first pixel left. It is centred on what it covers, if that is free.
    """
    shape = height, width = left.shape
    tall, wide = min(size, height), min(size, width)
    worth = left.astype(np.int32) - avoid
    for row in range(height):
        while left[row].any():
            column = int(left[row].argmax())
            first, last = max(0, row - tall + 1), min(row, height - tall)  # range of its start
            near, far = max(0, column - wide + 1), min(column, width - wide)
            seen = worth[first : last + tall, near : far + wide]
            sums = np.pad(seen.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
            counts = sums[tall:, wide:] - sums[:-tall, wide:] - sums[tall:, :-wide]
            counts += sums[:-tall, :-wide]
            down, right = (int(at) for at in np.unravel_index(counts.argmax(), counts.shape))
            top, side = first + down, near + right
            window = Window(slice(top, top + tall), slice(side, side + wide), tall, wide)
            centred = _square(_box(window.of(left), top, side), size, shape, size)
            if counts[centred.rows.start - first, centred.columns.start - near] >= counts.max():
                window = centred
            window.of(left)[:] = False
            window.of(worth)[:] = np.minimum(window.of(worth), 0)
            yield window
