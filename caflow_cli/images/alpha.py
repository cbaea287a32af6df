"""Transparency: kept apart from colour, and put back.

Files store straight (un-premultiplied) colours. The colour of a transparent pixel has no meaning
and may be anything. A filter that reads it would mix it into visible pixels.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Pixels = npt.NDArray[np.uint8]  # (H, W, C), or (H, W) of alpha, grey and masks; 0-255


def fill_transparent(rgb: Pixels, alpha: Pixels, *, faint: bool = False) -> Pixels:
    """Fill transparent pixels with the visible colours around them: uint8 (H, W, 3).

    The new colour is the alpha-weighted (premultiplied) mean of the smallest block around the pixel
    that has a visible pixel, interpolated; the sides of blocks are powers of two. Opaque pixels are
    never changed. A wholly transparent image is not changed.

    Args:
        rgb: Straight colours, (H, W, 3).
        alpha: (H, W), 0 transparent to 255 opaque.
        faint: Also blend that mean into a pixel fainter than its neighbours, in proportion: `(a c +
            (m - a) mean) / m`, m being the largest alpha of its 5 x 5 neighbourhood (the support of
            BICUBIC). This is for images about to be enlarged, because the filter would give the
            pixel's colour the weight of an opaque one. An evenly transparent image stays as it
            is.
    """
    if not alpha.any():
        return rgb
    mean = _mean_around(rgb, alpha)
    if not faint:
        filled: Pixels = np.where(alpha[..., None] > 0, rgb, mean)
        return filled
    reach = np.asarray(Image.fromarray(alpha).filter(ImageFilter.MaxFilter(5)))
    share = (alpha / np.maximum(reach, 1).astype(np.float32))[..., None]
    blend: Pixels = np.rint(share * rgb + (1 - share) * mean).astype(np.uint8)
    return blend


def _mean_around(rgb: Pixels, alpha: Pixels) -> Pixels:
    """For each pixel, the premultiplied mean of the smallest visible block of side 2, 4, 8, …"""
    weight = alpha.astype(np.float32)[..., None]
    levels = [(_halve(rgb * weight), _halve(weight))]
    while levels[-1][1].shape[:2] != (1, 1):
        levels.append((_halve(levels[-1][0]), _halve(levels[-1][1])))
    sums, weights = levels.pop()
    mean = sums / weights
    for sums, weights in reversed(levels):
        mean = np.where(weights > 0, sums / np.maximum(weights, 1), _resize(mean, weights.shape))
    return np.rint(_resize(mean, alpha.shape)).astype(np.uint8)


def _halve(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Sums over blocks of 2 x 2; an odd side's last block is half empty."""
    padded = np.pad(values, [(0, values.shape[0] % 2), (0, values.shape[1] % 2), (0, 0)])
    rows = padded[::2] + padded[1::2]
    return rows[:, ::2] + rows[:, 1::2]


def _resize(values: npt.NDArray[np.float32], shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Resize bilinearly to twice the size, then cut to (H, W), to fit odd sides."""
    size = 2 * values.shape[1], 2 * values.shape[0]
    planes = [
        np.asarray(Image.fromarray(values[..., c]).resize(size, Image.Resampling.BILINEAR))
        for c in range(3)
    ]
    return np.stack(planes, -1)[: shape[0], : shape[1]]
