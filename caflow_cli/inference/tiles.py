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

# Pixels of the model's image. One piece takes 0.9 kilobytes a pixel with the bundled models; of
# more, only conditions, candidates and their noise are held (docs/inference.md).
_ONE_PIECE = 2**21
_MOST = 256_000_000
# In units of 2^(n+1) pixels, the cell of the coarsest latent. What a tile's border changes fades
# with the distance. With the bundled model at temperature 0.9, 3 of them leave values 124 levels
# apart from those of one piece; 5 leave them within a level (docs/inference.md).
_MARGIN = 5  # what is dropped along the borders of a tile
_RAMP = 2  # over which one tile goes over into the next
_SIDE, _SIDE_OF_LARGE = 1024, 512  # pixels
_PLACE, _PLACES = 256, 4  # the side of a place in pixels, and how many there are along an axis

Corner = tuple[int, int]  # top and left of a tile


@dataclass(frozen=True)
class Unheld:
    """A large image, uint8 (1, C, H, W), whose parts are computed when they are cut."""

    shape: tuple[int, int, int, int]
    part: Callable[[slice, slice], Pixels]  # rows and columns to (h, w, C)

    def __len__(self) -> int:
        return 1


@dataclass(frozen=True)
class Tiles:
    """Overlapping windows of one size that cover an image, in rows and columns."""

    size: tuple[int, int]  # height and width of the image
    shape: tuple[int, int]  # height and width of a tile
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    ramp: int  # pixels over which two neighbours are blended, amid their overlap

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
        """Parts of image k, at most 4×4 of 256×256 pixels, spread evenly: (parts, C, h, w)."""

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
        """The blending weights of each row (axis 0) or column of tiles along the axis, float32.

        They sum to 1 everywhere.
        """
        starts, side = (self.tops, self.lefts)[axis], self.shape[axis]
        places = np.arange(starts[-1] + side) + 0.5
        # The share of all tiles from the k-th on: 1, then a ramp amid each overlap, then 0.
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
    """Rows and columns of image k of (B, C, H, W): (1, C, h, w)."""
    if isinstance(images, Unheld):
        return torch.from_numpy(images.part(rows, columns)).permute(2, 0, 1)[None]
    return images[k, None, :, rows, columns]


def check_size(
    size: tuple[int, int], large: bool = True, hint: str = "crop the image, or shrink it before"
) -> None:
    """Refuse images with so many pixels that drawing would take too long: CaflowError.

    The limit is 256 megapixels, or 64 where an image must not be `large`.
    """
    (height, width), most = size, _MOST if large else LARGE
    ensure(
        height * width <= most,
        f"the model would draw {width}×{height}, {height * width / 1e6:.0f} megapixels: more "
        f"than {most / 1e6:.0f}",
        hint,
    )


def plan_tiles(size: tuple[int, int], multiple: int, side: int | None = None) -> Tiles:
    """Plan one tile if the image fits into memory, else as few and as small tiles as cover it.

    All neighbours overlap about equally, by 12 multiples or slightly more. Tiles start at every
    second multiple: so each sees the image as it is seen whole.

    Args:
        size: Height and width, multiples of `multiple`.
        multiple: 2^(n+1).
        side: About the largest side of a tile, at least 16 multiples. None: chosen by size.
    """
    overlap = (2 * _MARGIN + _RAMP) * multiple
    if side is None:
        in_tiles = _SIDE if size[0] * size[1] <= LARGE else _SIDE_OF_LARGE
        in_tiles = in_tiles if overlap < in_tiles else 2 * overlap  # from n = 6 on
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
