"""Color hints: what a user knows of the colors of a photo, spread from strokes to their objects.

The chroma of a sample is moved by a difference d, which is that between hint and sample under the
strokes, and changes little where the luminance does. At a shorter side of 128, d minimizes

    Σ_p c(p) (d(p) - δ(p))² + Σ_{p~q} exp(-|L(p) - L(q)| / 6) (d(p) - d(q))² + Σ_p d(p)² / ℓ²

over neighbors p, q, with c(p) large where strokes cover p, δ(p) the mean difference under them, and
ℓ = half of the shorter side, the length over which d decays in a region of one luminance. The
matrix depends on photo and strokes alone, so it is factorized once for all candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..config import HOLE
from ..errors import ensure
from .base import Pixels, grey, resize, scaled_size
from .chroma import Plane, chroma_of, upsample_chroma

if TYPE_CHECKING:
    from scipy import sparse

_SIDE = 128  # shorter side at which d is computed, at most
_SOFTNESS = 6.0  # luminance difference, in levels, that divides the weight of a link by e
_PIN = 1000.0  # weight of a pixel that strokes cover whole, where a link has at most 1


class Hints:
    """The hints for one photo.

    Args:
        image: The photo, uint8 (H, W, 3).
        strokes: uint8 (H, W, 4). Pixels with an alpha of 128 and above are hints; only their chroma
            counts.

    Attributes:
        pixels: The number of hinted pixels.

    Raises:
        CaflowError: (exit 1) the strokes have another size, or no alpha.
    """

    def __init__(self, image: Pixels, strokes: Pixels) -> None:
        check_strokes(image, strokes)
        self._level = grey(image)
        height, width = self._level.shape
        side = min(_SIDE, height, width)
        self._small = resize(self._level, *scaled_size(image, side))
        h, w = self._small.shape
        self._rows, self._columns = np.nonzero(strokes[..., 3] >= HOLE)
        self.pixels = len(self._rows)
        colors = strokes[self._rows, self._columns, :3]
        self._chroma = np.stack(chroma_of(colors[None]), -1)[0]  # (pixels, 3)
        self._cells = (self._rows * h // height) * w + self._columns * w // width
        counts = np.bincount(self._cells, minlength=h * w)
        self._covered = counts > 0
        self._counts = counts[self._covered]
        self._pins = _PIN * np.minimum(1, counts * (h * w / (height * width)))
        self._factors = _factorized(self._small, self._pins + (2 / side) ** 2)

    def move(self, chroma: list[Plane]) -> list[Plane]:
        """Move the chroma of a sample at full size, (H, W) each, towards the hints."""
        current = np.stack([plane[self._rows, self._columns] for plane in chroma], -1)
        right = np.zeros((self._pins.size, 3))
        for channel, difference in enumerate((self._chroma - current).T):
            sums = np.bincount(self._cells, difference, self._pins.size)[self._covered]
            right[self._covered, channel] = self._pins[self._covered] * sums / self._counts
        solved = self._factors.solve(right).astype(np.float32).reshape(*self._small.shape, 3)
        small = [np.ascontiguousarray(solved[..., channel]) for channel in range(3)]
        moves = upsample_chroma(small, self._small, self._level)
        return [plane + move for plane, move in zip(chroma, moves, strict=True)]


def check_hints_size(strokes: Sequence[int], image: Sequence[int]) -> None:
    """Raise CaflowError (exit 1) unless hints have the image's height and width."""
    h, w = strokes[:2]
    height, width = image[:2]
    ensure(
        (h, w) == (height, width),
        f"the hints are {w}x{h}, the image {width}x{height}",
        f"paint them on a transparent layer of {width}x{height}",
    )


def check_strokes(image: Pixels, strokes: Pixels) -> None:
    """Raise CaflowError (exit 1) unless strokes have the photo's size, and alpha."""
    check_hints_size(strokes.shape, image.shape)
    ensure(
        strokes.shape[2:] == (4,),
        "the hints have no transparent pixels, so all of the image would be hinted",
        "paint them on a transparent layer, and save it alone as a PNG",
    )


def _factorized(level: Pixels, diagonal: npt.NDArray[np.float64]) -> sparse.linalg.SuperLU:
    """Factorize the matrix of the normal equations, whose links follow from the luminance."""
    from scipy import sparse  # imported here, because few images have hints
    from scipy.sparse.linalg import splu

    values = level.astype(np.float64)
    index = np.arange(level.size).reshape(level.shape)
    across = np.exp(-np.abs(np.diff(values, axis=1)) / _SOFTNESS).ravel()
    down = np.exp(-np.abs(np.diff(values, axis=0)) / _SOFTNESS).ravel()
    first = np.concatenate([index[:, :-1].ravel(), index[:-1].ravel()])
    second = np.concatenate([index[:, 1:].ravel(), index[1:].ravel()])
    links = np.concatenate([across, down])
    weights = sparse.coo_array((links, (first, second)), shape=(level.size, level.size))
    weights = weights + weights.T
    laplacian = sparse.diags_array(weights.sum(0) + diagonal) - weights
    return splu(laplacian.tocsc(), permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True})
