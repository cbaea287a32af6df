"""Tiles: overlapping windows of one size that cover a picture too large for memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from torch import Tensor

from ..devices import laid_out
from ..errors import CaflowError

__all__ = ["Tiles", "check_size", "plan_tiles"]

# Pixels of the model's picture. One piece takes 0.6 kilobytes a pixel with the bundled models; of
# more, only noise, conditions and candidates are held, 30 bytes a pixel and 3 a candidate.
_ONE_PIECE = 2**21
_MOST = 2**26
# In units of 2^(n+1) pixels, the cell of the coarsest latent. What a tile's border changes fades
# with the distance. With the bundled model at temperature 0.9, 3 of them leave values 124 levels
# apart from those of one piece; 5 leave them within a level (docs/inference.md).
_MARGIN = 5  # what is dropped along the borders of a tile
_RAMP = 2  # over which one tile goes over into the next
_SIDE = 1024  # pixels

Corner = tuple[int, int]  # top and left of a tile


@dataclass(frozen=True)
class Tiles:
    """Overlapping windows of one size that cover a picture, in rows and columns."""

    size: tuple[int, int]  # height and width of the picture
    shape: tuple[int, int]  # height and width of a tile
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    ramp: int  # pixels over which two neighbours are blended, amid their overlap

    def __iter__(self) -> Iterator[Corner]:
        """The corner of each tile, row by row."""
        return ((top, left) for top in self.tops for left in self.lefts)

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def cut(self, pictures: Tensor, corner: Corner) -> Tensor:
        """A tile of pictures: (B, C, height, width) to (B, C, rows, columns)."""
        (top, left), (rows, columns) = corner, self.shape
        return pictures[..., top : top + rows, left : left + columns]

    def cut_latent(self, z: Tensor, corner: Corner) -> Tensor:
        """A tile's part of a latent (C, h, w) of the whole picture, as a batch of one."""
        cell = self.size[0] // z.shape[-2]
        (top, left), (rows, columns) = corner, self.shape
        rows, columns, top, left = rows // cell, columns // cell, top // cell, left // cell
        return laid_out(z[None, :, top : top + rows, left : left + columns])

    def row_weights(self) -> list[np.ndarray]:
        """The share of each row of tiles in the picture, by height: (rows,) float32 each."""
        return _weights(self.tops, self.shape[0], self.ramp)

    def column_weights(self) -> list[np.ndarray]:
        """The share of each column of tiles in the picture, by width: (columns,) float32 each."""
        return _weights(self.lefts, self.shape[1], self.ramp)


def check_size(size: tuple[int, int]) -> None:
    """Refuse more pixels than anybody would wait for: CaflowError, for the model's picture."""
    height, width = size
    if height * width > _MOST:
        times = math.ceil((height * width / _MOST) ** 0.5)
        raise CaflowError(
            f"the model would work on {width}×{height} pixels, more than {_MOST}",
            f"crop the picture, or shrink its sides {times} times",
        )


def plan_tiles(size: tuple[int, int], multiple: int, side: int | None = None) -> Tiles:
    """One tile where the picture fits into memory; else as few as cover it, and no larger.

    Neighbours overlap by 12 multiples or little more, all alike.

    Args:
        size: Height and width, multiples of `multiple`.
        multiple: 2^(n+1): where tiles start, so that they can slice latents.
        side: Largest side of a tile, a multiple and more than 8 of them. None: by size.
    """
    if side is None:
        side = max(size) if size[0] * size[1] <= _ONE_PIECE else _SIDE
    overlap = (2 * _MARGIN + _RAMP) * multiple

    def spread(length: int) -> tuple[int, tuple[int, ...]]:
        if length <= side:
            return length, (0,)
        steps = math.ceil((length - side) / (side - overlap))
        own = math.ceil((length + steps * overlap) / ((steps + 1) * multiple)) * multiple
        rest = length - own
        return own, tuple(step * rest // (steps * multiple) * multiple for step in range(steps + 1))

    (height, tops), (width, lefts) = map(spread, size)
    return Tiles(size, (height, width), tops, lefts, _RAMP * multiple)


def _weights(starts: Sequence[int], side: int, ramp: int) -> list[np.ndarray]:
    """The share of each tile along one axis, (side,) float32: together 1 everywhere."""
    places = np.arange(starts[-1] + side) + 0.5
    # The share of all tiles from the k-th on: 1, then a ramp amid each overlap, then 0.
    shares = [np.ones_like(places)]
    for before, after in pairwise(starts):
        middle = (before + side + after) / 2
        shares.append(((places - middle) / ramp + 0.5).clip(0, 1))
    shares.append(np.zeros_like(places))
    return [
        (rise - fall)[start : start + side].astype(np.float32)
        for start, rise, fall in zip(starts, shares, shares[1:], strict=False)
    ]
