"""Chroma, the color of a pixel minus its luma: taken from images, upsampled, and given to grays."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .base import Pixels, grey, resize, strips

Plane = npt.NDArray[np.float32]  # (H, W), in levels

LUMA = (19595, 38470, 7471)  # Rec. 601 weights of red, green and blue in 65536ths, as in Pillow
ONE = sum(LUMA)
_HALF_AT = 24.0  # luminance difference, in levels, at which a pixel's color has half the weight
_CORRECTIONS = 2


def saturate(image: Pixels, saturation: float) -> Pixels:
    """Scale the chroma of an image, keeping it in gamut and its luminance: uint8 (H, W, 3)."""
    result = np.empty_like(image)
    for strip in strips(*image.shape[:2]):
        part = image[strip]
        chroma = [saturation * plane for plane in chroma_of(part)]
        result[strip] = tint(grey(part), chroma)
    return result


def chroma_of(image: Pixels) -> list[Plane]:
    """Red, green and blue minus the luma, in levels: three arrays (H, W)."""
    values = image.astype(np.float32)
    weights = np.array(LUMA, np.float32)
    luma = (values @ weights) / ONE
    return [np.asarray(values[..., channel] - luma, np.float32) for channel in range(3)]


def tint(level: Pixels, chroma: list[Plane]) -> Pixels:
    """Color a gray image: uint8 (H, W, 3), whose luma is exactly the given one.

    Args:
        level: The gray image, uint8 (H, W).
        chroma: Red, green and blue minus the luma, (H, W) each. At each pixel they are multiplied
            by the largest k <= 1 for which the color is in gamut.
    """
    red, green, blue = LUMA
    luma = level.astype(np.float32)
    keep = np.ones_like(luma)
    for plane in chroma:
        room = np.where(plane > 0, 255 - luma, luma)
        size = np.abs(plane)
        share = np.ones_like(luma)
        np.divide(room, size, out=share, where=size > room)
        np.minimum(keep, share, out=keep)
    r = luma + keep * chroma[0]
    b = luma + keep * chroma[2]
    r = np.rint(r).clip(0, 255)
    b = np.rint(b).clip(0, 255)
    # Green last: having the largest weight, it absorbs the rounding of the other two, so that the
    # luminance is exact.
    g = (float(ONE) * luma - red * r - blue * b) / green
    g = np.rint(g).clip(0, 255)
    colors = np.stack([r, g, b], axis=-1)
    return colors.astype(np.uint8)


def upsample_chroma(planes: list[Plane], small: Pixels, level: Pixels) -> list[Plane]:
    """Upsample planes of chroma so that colors end where the luminance has edges.

    First, joint bilateral upsampling (Kopf et al. 2007) gives every pixel p a weighted mean of the
    four pixels q around it at model scale, which favors those with a similar luminance:

        c(p) = Σ_q w(p, q) c(q) / Σ_q w(p, q),  w = bilinear(p, q) / (1 + ((L(p) - l(q)) / 24)²)

    Then the residual at model scale is upsampled by BICUBIC and added, twice:
    `c += enlarge(chroma - shrink(c))`, so that the result, shrunk, is close to the given chroma.
    For an image no larger than model scale, the planes are simply resized.

    Args:
        planes: Chroma at model scale, (h, w) each. The result is at full size.
        small, level: l and L, the luminance at model scale and at full size, uint8 (H, W).
    """
    height, width = level.shape
    h, w = small.shape
    if height <= h and width <= w:
        return [resize(plane, height, width) for plane in planes]
    rows, down = _neighbors(height, h)
    columns, right = _neighbors(width, w)
    near = small.astype(np.float32) / _HALF_AT
    result = [np.empty((height, width), np.float32) for _ in planes]
    for strip in strips(height, width):
        at = level[strip].astype(np.float32) / _HALF_AT
        total = np.zeros_like(at)
        sums = [np.zeros_like(at) for _ in planes]
        for row, vertical in zip(rows, down, strict=True):
            for column, horizontal in zip(columns, right, strict=True):
                q = np.ix_(row[strip], column)
                bilinear = vertical[strip, None] * horizontal
                apart = at - near[q]
                weight = bilinear / (1 + np.square(apart))
                total += weight
                for plane, summed in zip(planes, sums, strict=True):
                    summed += weight * plane[q]
        for full, summed in zip(result, sums, strict=True):
            full[strip] = summed / total
    for plane, full in zip(planes, result, strict=True):
        for _ in range(_CORRECTIONS):
            residual = plane - resize(full, h, w)
            full += resize(residual, height, width)
    return result


def _neighbors(full: int, small: int) -> tuple[list[npt.NDArray[np.intp]], list[Plane]]:
    """For each of `full` pixels, the two nearest of `small` pixels, and their bilinear weights."""
    centers = np.arange(full) + 0.5
    place = centers * small / full - 0.5
    first = np.floor(place)
    share = (place - first).astype(np.float32)
    indices = []
    for neighbor in (first, first + 1):
        index = np.clip(neighbor, 0, small - 1)
        indices.append(index.astype(np.intp))
    return indices, [1 - share, share]
