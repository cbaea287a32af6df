"""Tiles: overlapping windows of one size that cover an image too large for memory."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..config import Extent
from ..devices import to_layout
from ..images import LARGE, Pixels

# In units of 2^(n+1) pixels, the cell of the coarsest latent. The effect of a tile's border fades
# with distance. With the bundled model at temperature 0.9, a margin of 3 leaves differences of up
# to 124 levels from a single pass; a margin of 5, at most one level (docs/inference.md).
_MARGIN = 5  # width that is discarded along the borders of a tile
_RAMP = 2  # width over which neighboring tiles are blended
_SIDE = 1024  # pixels
_SIDE_OF_LARGE = 512  # pixels, in images above 64 megapixels
_PATCH = 256  # pixels: side of a patch for moments
_PATCHES = 4  # patches per axis
_PATCH_STEP = 32  # pixels: patches start at multiples of it

Corner = tuple[int, int]  # top and left of a tile


@dataclass(frozen=True)
class LazyImage:
    """A large image, (1, C, H, W), whose regions are computed on demand."""

    shape: tuple[int, int, int, int]
    part: Callable[[slice, slice], Pixels]  # rows and columns to (h, w, C)
    dtype: torch.dtype = torch.uint8

    def __len__(self) -> int:
        return 1


@dataclass(frozen=True)
class Tiles:
    """A grid of overlapping windows of one size that covers an image."""

    size: Extent  # height and width of the image
    shape: Extent  # height and width of a tile
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    ramp: int  # pixels over which neighbors are blended, in the middle of their overlap
    margin: int = 0  # pixels that are discarded along the borders of a tile

    def __iter__(self) -> Iterator[Corner]:
        """Iterate over the corners of the tiles, row by row."""
        return ((top, left) for top in self.tops for left in self.lefts)

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def cut(self, images: Tensor | LazyImage, corner: Corner, k: int = 0) -> Tensor:
        """Cut a tile from image k of (B, C, height, width): (1, C, rows, columns)."""
        top, left = corner
        rows, columns = self.shape
        down = slice(top, top + rows)
        across = slice(left, left + columns)
        return _cut(images, down, across, k)

    def around(
        self, image: Tensor | LazyImage, corner: Corner, margin: int
    ) -> tuple[Tensor, list[slice]]:
        """Cut a tile with a margin, as far as the image has one, in pixels.

        Returns the window, (1, C, h, w), and where the tile lies in it: rows and columns.
        """
        window = []
        inner = []
        for length, place, side in zip(self.size, corner, self.shape, strict=True):
            start = max(0, place - margin)
            end = min(length, place + side + margin)
            window.append(slice(start, end))
            inner.append(slice(place - start, place - start + side))
        rows, columns = window
        return _cut(image, rows, columns), inner

    def patches(self, image: Tensor | LazyImage) -> Tensor:
        """At most 4×4 evenly spread patches, 256×256 pixels each: (count, C, h, w)."""
        height, width = self.size
        patches = [
            _cut(image, rows, columns)
            for rows in _spread_patches(height)
            for columns in _spread_patches(width)
        ]
        return to_layout(torch.cat(patches))

    def nearest(self, axis: int) -> list[slice]:
        """The rows (axis 0) or columns (axis 1) that are nearest to each tile's middle."""
        starts = self.lefts if axis else self.tops
        middles = [(before + self.shape[axis] + after) // 2 for before, after in pairwise(starts)]
        return [slice(*ends) for ends in pairwise([0, *middles, self.size[axis]])]

    def weights(self, axis: int) -> list[np.ndarray]:
        """The blending weights of each row (axis 0) or column (axis 1) of tiles, float32.

        They sum to 1 at every pixel.
        """
        starts = self.lefts if axis else self.tops
        side = self.shape[axis]
        places = np.arange(starts[-1] + side) + 0.5
        # shares[k] is the total weight of tiles k, k + 1, ...: 0, a ramp in the overlap, then 1.
        shares = [np.ones_like(places)]
        for before, after in pairwise(starts):
            middle = (before + side + after) / 2
            share = (places - middle) / self.ramp + 0.5
            shares.append(share.clip(0, 1))
        shares.append(np.zeros_like(places))
        weights = []
        for start, share, next_share in zip(starts, shares, shares[1:], strict=False):
            weight = (share - next_share)[start : start + side]
            weights.append(weight.astype(np.float32))
        return weights


def _spread_patches(length: int) -> list[slice]:
    """Where the patches lie along one axis."""
    side = min(length, _PATCH)
    count = max(1, min(_PATCHES, length // side))
    patches = []
    for k in range(count):
        start = (length - side) * k // max(1, count - 1)
        start = start // _PATCH_STEP * _PATCH_STEP
        patches.append(slice(start, start + side))
    return patches


def _cut(
    images: Tensor | LazyImage,
    rows: slice,
    columns: slice,
    k: int = 0,
) -> Tensor:
    """Cut a window from image k of (B, C, H, W): (1, C, h, w)."""
    if isinstance(images, LazyImage):
        return torch.from_numpy(images.part(rows, columns)).permute(2, 0, 1)[None]
    return images[k, None, :, rows, columns]


def plan_tiles(
    size: Extent,
    multiple: int,
    side: int | None = None,
    margin: int = _MARGIN,
    ramp: int = _RAMP,
) -> Tiles:
    """Plan as few and as small tiles as possible; one for a model of tiles as large as the image.

    Neighbors overlap by two margins and a ramp or slightly more, all about equally. Tiles start at
    even multiples, so that the cells of a tile coincide with those of the whole image.

    Args:
        size: Height and width, multiples of `multiple`.
        multiple: 2^(n+1).
        side: The approximate maximum side of a tile, at least 16 multiples. None: chosen by size.
        margin, ramp: In multiples; those of the flows by default.
    """
    overlap = (2 * margin + ramp) * multiple
    if side is None:
        side = _SIDE if math.prod(size) <= LARGE else _SIDE_OF_LARGE
        side = side if overlap < side else 2 * overlap  # for large n
    height, tops = _plan_axis(size[0], side, overlap, multiple)
    width, lefts = _plan_axis(size[1], side, overlap, multiple)
    return Tiles(
        size,
        (height, width),
        tops,
        lefts,
        ramp=ramp * multiple,
        margin=margin * multiple,
    )


def _plan_axis(
    length: int,
    side: int,
    overlap: int,
    multiple: int,
) -> tuple[int, tuple[int, ...]]:
    """The side of the tiles along one axis, and where they start."""
    if length <= side:
        return length, (0,)
    cell = 2 * multiple  # trunks read every other block at half of the coarsest resolution
    steps = math.ceil((length - side) / (side - overlap))
    tile = math.ceil((length + steps * overlap) / ((steps + 1) * multiple)) * multiple
    while True:
        last = length - tile  # where the last tile starts
        longest_step = math.ceil(last / steps / cell) * cell
        if last % cell == 0 and longest_step <= tile - overlap:
            break
        tile += multiple
    cells = last // cell
    starts = [step * cells // steps * cell for step in range(steps + 1)]
    return tile, tuple(starts)
