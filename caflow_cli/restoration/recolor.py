"""Color hints: what a user knows of the colors of a photo, spread from strokes to their objects.

The chroma of a sample is moved by a difference d, which is that between hint and sample under the
strokes, and changes little where the luminance does. At a shorter side of 128, d minimizes

    Σ_p c(p) (d(p) - δ(p))² + Σ_{p~q} w(p, q) (d(p) - d(q))² + Σ_p d(p)² / ℓ²

with c(p) large where strokes cover p, δ(p) the mean difference under them, and ℓ = half of the
shorter side, the length over which d decays in a region of one luminance. With B the luminance,
averaged over 3x3 pixels, in levels, and p + k the k-th pixel to the right of p or below it,

    w(p, p + 1) = exp(-|B(p - 1) - B(p + 2)| / 2),   w(p, p + 8) = 2 exp(-|B(p) - B(p + 8)| / 2)

the latter in every second row and column. So a soft edge, which rises over some pixels, weakens
every link that crosses it as a sharp one does, texture averages out, and color passes narrow
things. The matrix depends on photo and strokes alone, so it is factorized once for all candidates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..config import HOLE
from ..errors import ensure
from ..images import Pixels, Raster, convert
from ..records import Count
from ..tasks.base import gray, levels_in, resize
from ..tasks.chroma import chroma_of, tint, upsample_chroma
from ..tasks.sizes import check_same_size, scaled_size

if TYPE_CHECKING:
    from scipy import sparse

_SIDE = 128  # shorter side at which d is computed, at most
_SOFTNESS = 2.0  # luminance difference, in levels, that divides the weight of a link by e
_PIN = 1000.0  # weight of a pixel that strokes cover whole, where a link has at most 1


class Recolor:
    """Move the colors of a photo's candidates towards hints, and keep the luminance: an edit.

    Args:
        image: The photo, uint8 or uint16 (H, W, 3).
        strokes: uint8 (H, W, 4). Pixels with an alpha of 128 and above are hints; only their chroma
            counts.

    Attributes:
        pixels: The number of hinted pixels.

    Raises:
        CaflowError: As `check_strokes`.
    """

    field: ClassVar[str] = "hinted_pixels"
    option: ClassVar[str] = "--hints"
    line: ClassVar[Any] = Annotated[
        Count,
        "colorize --hints and --hint: the number of pixels of which the color was stated. Omitted "
        "without hints.",
    ]

    def __init__(self, image: Pixels, strokes: Pixels, profile: bytes | None = None) -> None:
        check_strokes(image, strokes)
        self._level = gray(image)
        height, width = self._level.shape
        side = min(_SIDE, height, width)
        self._small = resize(self._level, *scaled_size(image, side))
        h, w = self._small.shape
        self._rows, self._columns = np.nonzero(strokes[..., 3] >= HOLE)
        self.pixels = len(self._rows)
        levels = levels_in(image)
        colors = strokes[self._rows, self._columns, :3]
        if profile is not None and self.pixels:
            shown = Raster(image[self._rows, self._columns][None], profile).shown
            tinted = tint(gray(shown), chroma_of(colors[None]))
            [colors] = convert(tinted, None, profile)
        self._chroma = levels * chroma_of(colors)  # (3, pixels)
        down = self._rows * h // height
        right = self._columns * w // width
        self._cells = down * w + right
        self._counts = np.bincount(self._cells, minlength=h * w)
        size = height * width / (h * w)  # pixels in a cell
        self._pins = _PIN * np.minimum(1, self._counts / size)
        self._factors = _factorized(self._small / levels, self._pins + (2 / side) ** 2)

    @property
    def changes(self) -> bool:
        return self.pixels > 0

    def apply(self, image: Pixels, seed: int) -> Pixels:
        chroma = chroma_of(image)
        moves = []
        for difference in self._chroma - chroma[:, self._rows, self._columns]:
            sums = np.bincount(self._cells, difference, self._counts.size)
            means = sums / np.maximum(1, self._counts)
            moves.append(self._factors.solve(self._pins * means))
        small = np.reshape(moves, (3, *self._small.shape)).astype(np.float32)
        moved = chroma + upsample_chroma(small, self._small, self._level)
        return tint(self._level, moved)

    def as_json(self) -> int:
        return self.pixels


def strokes_of(image: Raster) -> Pixels:
    """Color hints as they are painted: uint8 (H, W, 4), or (H, W, 3) if every pixel is opaque."""
    alpha = image.rounded(8).alpha
    return image.shown if alpha is None else np.dstack([image.shown, alpha])


def check_strokes(image: Pixels, strokes: Pixels) -> None:
    """Raise CaflowError (exit 1) unless strokes have the photo's size, and alpha."""
    check_same_size("the hints are", strokes.shape, image.shape)
    ensure(
        strokes.shape[2:] == (4,),
        "the hints have no transparent pixels, so all of the image would be hinted",
        "paint them on a transparent layer, and save it alone as a PNG",
    )


def _factorized(
    level: npt.NDArray[np.float64], diagonal: npt.NDArray[np.float64]
) -> sparse.linalg.SuperLU:
    """Factorize the matrix of the normal equations.

    Args:
        level: The luminance L in levels of 8 bits, (h, w).
        diagonal: c(p) + 1 / ℓ², (h w,).
    """
    from scipy import ndimage, sparse  # imported here, because few images have hints
    from scipy.sparse.csgraph import laplacian
    from scipy.sparse.linalg import splu

    index = np.arange(level.size).reshape(level.shape)
    means = ndimage.uniform_filter(level.astype(np.float64), 3, mode="nearest")
    links = []
    first = []
    second = []
    for pixels, values in ((index, means), (index.T, means.T)):
        wide = np.pad(values, ((1, 1), (0, 0)), mode="edge")
        links.append(np.exp(-np.abs(wide[3:] - wide[:-3]) / _SOFTNESS))
        first.append(pixels[:-1])
        second.append(pixels[1:])
        few = values[::2, ::2]
        links.append(2 * np.exp(-np.abs(few[4:] - few[:-4]) / _SOFTNESS))
        first.append(pixels[:-8:2, ::2])
        second.append(pixels[8::2, ::2])
    ends = np.concatenate(first, axis=None), np.concatenate(second, axis=None)
    shape = level.size, level.size
    graph = sparse.coo_array((np.concatenate(links, axis=None), ends), shape)
    matrix = laplacian(graph, symmetrized=True) + sparse.diags_array(diagonal)
    return splu(
        matrix.tocsc(),
        permc_spec="MMD_AT_PLUS_A",
        options={"SymmetricMode": True},
    )
