"""Chroma, the color of a pixel minus its luma: taken from images, upsampled, and given to grays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..images import Pixels
from .base import LUMA, ONE, gray, levels_in, resize, strips, white

Planes = npt.NDArray[np.float32]  # red, green and blue: (3, H, W), in levels

# Luminance difference, in levels of 8 bits, at which a pixel's color has half the weight.
_HALF_AT = 24.0
_CORRECTIONS = 2


def saturate(image: Pixels, saturation: float) -> Pixels:
    """Scale the chroma of an image, keeping it in gamut and its luminance: uint8 (H, W, 3)."""
    result = np.empty_like(image)
    for strip in strips(*image.shape[:2]):
        part = image[strip]
        result[strip] = tint(gray(part), saturation * chroma_of(part))
    return result


def chroma_of(image: Pixels) -> Planes:
    """Red, green and blue minus the luma, in levels: uint8 (..., 3) to (3, ...)."""
    values = image.astype(np.float32)
    luma = (values @ np.array(LUMA, np.float32)) / ONE
    return np.asarray(np.moveaxis(values, -1, 0) - luma)


def tint(level: Pixels, chroma: Planes) -> Pixels:
    """Color a gray image: (H, W, 3) of its type, whose luma is exactly that gray.

    Args:
        level: The gray image, uint8 or uint16 (H, W).
        chroma: Red, green and blue minus the luma, (3, H, W). At each pixel they are multiplied by
            the largest k <= 1 for which the color is in gamut.
    """
    red, green, blue = LUMA
    luma = level.astype(np.float32)
    most = white(level)
    room = np.where(chroma > 0, most - luma, luma)
    size = np.abs(chroma)
    keep = np.ones_like(size)
    np.divide(room, size, out=keep, where=size > room)
    colors = np.rint(luma + keep.min(0) * chroma).clip(0, most)
    # Green last: having the largest weight, it absorbs the rounding of the other two, so that the
    # luminance is exact.
    rest = float(ONE) * luma - red * colors[0] - blue * colors[2]
    colors[1] = np.rint(rest / green).clip(0, most)
    return np.stack([*colors], axis=-1).astype(level.dtype)


def upsample_chroma(chroma: Planes, small: Pixels, level: Pixels) -> Planes:
    """Upsample planes of chroma so that colors end where the luminance has edges.

    First, joint bilateral upsampling (Kopf et al. 2007) gives every pixel p a weighted mean of the
    four pixels q around it at model scale, which favors those with a similar luminance:

        c(p) = Σ_q w(p, q) c(q) / Σ_q w(p, q),  w = bilinear(p, q) / (1 + ((L(p) - l(q)) / 24)²)

    Then the residual at model scale is upsampled by BICUBIC and added, twice:
    `c += enlarge(chroma - shrink(c))`, so that the result, shrunk, is close to the given chroma.
    For an image no larger than model scale, the planes are simply resized.

    Args:
        chroma: At model scale, (3, h, w). The result is at full size.
        small, level: l and L, the luminance at model scale and at full size, (H, W).
    """
    height, width = level.shape
    h, w = small.shape
    if height <= h and width <= w:
        return np.stack([resize(plane, height, width) for plane in chroma])
    result = _bilateral(chroma, small, level)
    for plane, full in zip(chroma, result, strict=True):
        for _ in range(_CORRECTIONS):
            residual = plane - resize(full, h, w)
            full += resize(residual, height, width)
    return result


def _bilateral(chroma: Planes, small: Pixels, level: Pixels) -> Planes:
    """The first step of `upsample_chroma`: (3, H, W)."""
    height, width = level.shape
    h, w = small.shape
    rows, down = _neighbors(height, h)
    columns, right = _neighbors(width, w)
    half_at = _HALF_AT * levels_in(level)
    near = small.astype(np.float32) / half_at
    result = np.empty((len(chroma), height, width), np.float32)
    for strip in strips(height, width):
        at = level[strip].astype(np.float32) / half_at
        total = np.zeros_like(at)
        summed = np.zeros_like(result[:, strip])
        for row, vertical in zip(rows, down, strict=True):
            below = row[strip, None]
            for column, horizontal in zip(columns, right, strict=True):
                bilinear = vertical[strip, None] * horizontal
                apart = at - near[below, column]
                weight = bilinear / (1 + np.square(apart))
                total += weight
                summed += weight * chroma[:, below, column]
        result[:, strip] = summed / total
    return result


def _neighbors(full: int, small: int) -> tuple[npt.NDArray[np.intp], Planes]:
    """For each of `full` pixels, the two nearest of `small` pixels, and their bilinear weights."""
    centers = np.arange(full) + 0.5
    place = centers * small / full - 0.5
    first = np.floor(place)
    share = (place - first).astype(np.float32)
    indices = np.stack([first, first + 1]).clip(0, small - 1)
    return indices.astype(np.intp), np.stack([1 - share, share])
