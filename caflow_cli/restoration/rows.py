"""A candidate that is too large to be held: its rows are resized as they are drawn."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from ..config import Extent
from ..images import Pixels
from ..tasks import resize

_REACH = 3  # pixels that Lanczos reads on either side, in the unit of the coarser image


class Rows:
    """An image that is resized by Lanczos while its rows come, from the top.

    With the last, `result` is what `resize` makes of the whole image, up to the rounding of places
    that are no whole pixels.

    Args:
        result: uint8 or uint16 (H, W, 3), filled from the top.
        size: Height and width of the image that is drawn.
        compose: What is to be resized of the rows: without padding, gray if the image is.
    """

    def __init__(self, result: Pixels, size: Extent, compose: Callable[[Pixels], Pixels]) -> None:
        self.result = result
        self._height = size[0]
        self._compose = compose
        self._held = np.empty((0, size[1], 3), result.dtype)  # rows that are still read
        self._top = 0  # where these start
        self._done = 0  # rows of the result

    def add(self, rows: Pixels) -> None:
        """Take the next rows, and resize as far as these reach."""
        held = np.concatenate([self._held, self._compose(rows)])[: self._height - self._top]
        end = self._top + len(held)
        height, width = self.result.shape[:2]
        ratio = self._height / height  # of drawn rows to a row of the result
        reach = math.ceil(_REACH * max(1, ratio)) + 1
        last = height if end == self._height else int((end - reach) / ratio)
        if last > self._done:
            above, below = (k * ratio - self._top for k in (self._done, last))
            box = (0, above, held.shape[1], below)
            part = resize(held, last - self._done, width, Image.Resampling.LANCZOS, box)
            self.result[self._done : last] = part
            self._done = last
        first = max(self._top, int(self._done * ratio) - reach)
        self._held = held[first - self._top :].copy()
        self._top = first
