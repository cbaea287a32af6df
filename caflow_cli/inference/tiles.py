"""Tiles: overlapping windows of one size that cover an image too large for memory."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from ..devices import to_layout
from ..errors import ensure
from ..images import LARGE, Pixels

# Pixels at the model's size that are drawn in one pass, at 0.9 kB per pixel for the bundled models.
# Of larger images only conditions, candidates and their noise are held (docs/inference.md).
_ONE_PIECE = 2**21
_MOST = 256_000_000
# In units of 2^(n+1) pixels, the cell of the coarsest latent. The effect of a tile's border fades
# with distance. With the bundled model at temperature 0.9, a margin of 3 leaves differences of up
# to 124 levels from a single pass; a margin of 5, at most one level (docs/inference.md).
_MARGIN = 5  # width that is discarded along the borders of a tile
_RAMP = 2  # width over which neighbouring tiles are blended
_SIDE, _SIDE_OF_LARGE = 1024, 512  # pixels
_PLACE, _PLACES = 256, 4  # side of a patch for moments in pixels, and patches per axis

Corner = tuple[int, int]  # top and left of a tile


@dataclass(frozen=True)
class Unheld:
    """A large image, uint8 (1, C, H, W), whose regions are computed on demand."""

    shape: tuple[int, int, int, int]
    part: Callable[[slice, slice], Pixels]  # rows and columns to (h, w, C)

    def __len__(self) -> int:
        return 1


@dataclass(frozen=True)
class Tiles:
    """A grid of overlapping windows of one size that covers an image."""

    size: tuple[int, int]  # height and width of the image
    shape: tuple[int, int]  # height and width of a tile
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    ramp: int  # pixels over which neighbours are blended, in the middle of their overlap

    def __iter__(self) -> Iterator[Corner]:
        """Iterate over the corners of the tiles, row by row."""
        return ((top, left) for top in self.tops for left in self.lefts)

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    def cut(self, images: Tensor | Unheld, k: int, corner: Corner) -> Tensor:
        """Cut a tile from image k of (B, C, height, width): (1, C, rows, columns)."""
        (top, left), (rows, columns) = corner, self.shape
        return cut(images, k, slice(top, top + rows), slice(left, left + columns))

    def places(self, images: Tensor | Unheld, k: int) -> Tensor:
        """At most 4×4 evenly spread patches of image k, 256×256 pixels each: (count, C, h, w)."""

        def starts(length: int) -> list[int]:
            side = min(length, _PLACE)
            count = max(1, min(_PLACES, length // side))
            return [(length - side) * k // max(1, count - 1) // 32 * 32 for k in range(count)]

        (height, width), (tops, lefts) = self.size, map(starts, self.size)
        parts = [
            cut(images, k, slice(y, min(y + _PLACE, height)), slice(x, min(x + _PLACE, width)))
            for y in tops
            for x in lefts
        ]
        return to_layout(torch.cat(parts))

    def weights(self, axis: int) -> list[np.ndarray]:
        """The blending weights of each row (axis 0) or column (axis 1) of tiles, float32.

        They sum to 1 at every pixel.
        """
        starts, side = (self.tops, self.lefts)[axis], self.shape[axis]
        places = np.arange(starts[-1] + side) + 0.5
        # shares[k] is the total weight of tiles k, k + 1, ...: 0, a ramp in the overlap, then 1.
        shares = [np.ones_like(places)]
        for before, after in pairwise(starts):
            middle = (before + side + after) / 2
            shares.append(((places - middle) / self.ramp + 0.5).clip(0, 1))
        shares.append(np.zeros_like(places))
        return [
            (rise - fall)[start : start + side].astype(np.float32)
            for start, rise, fall in zip(starts, shares, shares[1:], strict=False)
        ]


def cut(images: Tensor | Unheld, k: int, rows: slice, columns: slice) -> Tensor:
    """Cut rows and columns from image k of (B, C, H, W): (1, C, h, w)."""
    if isinstance(images, Unheld):
        return torch.from_numpy(images.part(rows, columns)).permute(2, 0, 1)[None]
    return images[k, None, :, rows, columns]


def check_size(
    size: tuple[int, int], large: bool = True, hint: str = "crop or shrink the image first"
) -> None:
    """Raise CaflowError for an image that is too large to be drawn in reasonable time.

    The limit is 256 megapixels, or 64 if `large` is false.
    """
    (height, width), most = size, _MOST if large else LARGE
    ensure(
        height * width <= most,
        f"the model would draw {width}×{height}, {height * width / 1e6:.0f} megapixels: more "
        f"than {most / 1e6:.0f}",
        hint,
    )


def plan_tiles(size: tuple[int, int], multiple: int, side: int | None = None) -> Tiles:
    """Plan one tile if the image fits into memory, else as few and as small tiles as possible.

    Neighbours overlap by 12 multiples or slightly more, all about equally. Tiles start at even
    multiples, so that the cells of a tile coincide with those of the whole image.

    Args:
        size: Height and width, multiples of `multiple`.
        multiple: 2^(n+1).
        side: The approximate maximum side of a tile, at least 16 multiples. None: chosen by size.
    """
    overlap = (2 * _MARGIN + _RAMP) * multiple
    if side is None:
        in_tiles = _SIDE if size[0] * size[1] <= LARGE else _SIDE_OF_LARGE
        in_tiles = in_tiles if overlap < in_tiles else 2 * overlap  # for large n
        side = max(size) if size[0] * size[1] <= _ONE_PIECE else in_tiles
    # Trunks read every other block at half of the coarsest resolution.
    cell = 2 * multiple

    def starts_of(length: int) -> tuple[int, tuple[int, ...]]:
        if length <= side:
            return length, (0,)
        steps = math.ceil((length - side) / (side - overlap))
        own = math.ceil((length + steps * overlap) / ((steps + 1) * multiple)) * multiple
        while (length - own) % cell or own - overlap < math.ceil(
            (length - own) / steps / cell
        ) * cell:
            own += multiple
        rest = length - own
        return own, tuple(step * rest // (steps * cell) * cell for step in range(steps + 1))

    (height, tops), (width, lefts) = map(starts_of, size)
    return Tiles(size, (height, width), tops, lefts, _RAMP * multiple)
