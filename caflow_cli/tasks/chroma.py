"""The way of colours from model scale to full size, along the edges of the luminance."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .base import Picture, resize

__all__ = ["carry"]

Plane = npt.NDArray[np.float32]

_UNLIKE = 24.0  # levels of luminance between two pixels at which a colour counts half
_CORRECTIONS = 2
_STRIP = 2**20  # pixels at a time


def carry(planes: list[Plane], small: Picture, level: Picture) -> list[Plane]:
    """Enlarge planes of chroma so that colours end where the luminance has edges.

    First every pixel p takes a mean over the four pixels q around it at model scale, in which those
    count that have its own luminance (Kopf et al., Joint Bilateral Upsampling, 2007):

        c(p) = Σ_q w(p, q) c(q) / Σ_q w(p, q),  w = bilinear(p, q) / (1 + ((L(p) - l(q)) / 24)²)

    Then what this lacks of the chroma at model scale is enlarged by BICUBIC and added, twice:
    `c += enlarge(chroma - shrink(c))`. So the result, shrunk, has the chroma that it was made from.
    A picture that is no larger than model scale needs no edges: its planes are resized.

    Args:
        planes: Chroma at model scale, (h, w) each.
        small: l, the luminance there, uint8 (h, w).
        level: L, the luminance at full size, uint8 (H, W).

    Returns:
        Chroma at full size, (H, W) each.
    """
    height, width = level.shape
    h, w = small.shape
    if height <= h and width <= w:
        return [resize(plane, height, width) for plane in planes]
    carried = _along_edges(planes, small, level)
    for plane, full in zip(planes, carried, strict=True):
        for _ in range(_CORRECTIONS):
            full += resize(plane - resize(full, h, w), height, width)
    return carried


def _along_edges(planes: list[Plane], small: Picture, level: Picture) -> list[Plane]:
    """The mean over four neighbours at model scale, strip by strip."""
    height, width = level.shape
    rows, down = _neighbours(height, small.shape[0])
    columns, right = _neighbours(width, small.shape[1])
    near = small.astype(np.float32) / _UNLIKE
    result = [np.empty((height, width), np.float32) for _ in planes]
    step = max(1, _STRIP // width)
    for top in range(0, height, step):
        strip = slice(top, top + step)
        own = level[strip].astype(np.float32) / _UNLIKE
        total = np.zeros_like(own)
        sums = [np.zeros_like(own) for _ in planes]
        for row, vertical in zip(rows, down, strict=True):
            for column, horizontal in zip(columns, right, strict=True):
                q = np.ix_(row[strip], column)
                weight = vertical[strip, None] * horizontal / (1 + np.square(own - near[q]))
                total += weight
                for plane, summed in zip(planes, sums, strict=True):
                    summed += weight * plane[q]
        for full, summed in zip(result, sums, strict=True):
            full[strip] = summed / total
    return result


def _neighbours(full: int, small: int) -> tuple[list[npt.NDArray[np.intp]], list[Plane]]:
    """Of each of `full` pixels the two nearest of `small`, and their bilinear weights."""
    place = (np.arange(full) + 0.5) * small / full - 0.5
    first = np.floor(place)
    share = (place - first).astype(np.float32)
    indices = [np.clip(first + k, 0, small - 1).astype(np.intp) for k in (0, 1)]
    return indices, [1 - share, share]
