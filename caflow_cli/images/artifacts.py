"""Traces of compression, noise and blur in the pixels of an image."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .color import Pixels

Plane: TypeAlias = NDArray[np.float32]  # (H, W)
Values: TypeAlias = NDArray[np.float64]

_SIDE = 160  # of the four patches that stand for a large image
_FREQUENCIES = np.arange(4, 8)[:, None]  # the upper half of an 8-point DCT
_WAVES = 0.5 * np.cos((2 * np.arange(8) + 1) * _FREQUENCIES * np.pi / 16)
_DCT = _WAVES.T.astype(np.float32)
_ZERO = 0.6  # of a coefficient; JPEG and WebP make most high frequencies zero


def artifacts(image: Pixels) -> Values:
    """Ten statistics of an image, uint8 (H, W, 3), that compression, noise and blur change.

    They are means over four patches of a large image, of luma Y if nothing else is stated:

    1. how much more DCT coefficients of high frequency vanish on one grid of 8×8 pixels than on the
       others: the grid of JPEG, wherever the image was cut;
    2. the share of such coefficients on any grid: lack of detail;
    3. log of the noise: the Laplacian in the flattest tenth of the image, and 4. in its median;
    5. log ratio of detail at 2 and 4 pixels, and 6. of steps over 1 and 2 pixels: blur;
    7. log ratio of detail in chroma and in Y, and 8. of chroma at 1 and 2 pixels: its resolution;
    9. how much steps between pixels exceed their neighbors in one of 8, and 10. of 16 columns or
       rows: blocks.
    """
    height, width = image.shape[:2]
    if height * width <= 4 * _SIDE**2:
        return _statistics(image)
    of_patches = []
    for top in _positions(height):
        for left in _positions(width):
            of_patches.append(_statistics(image[top : top + _SIDE, left : left + _SIDE]))
    return np.asarray(np.mean(of_patches, axis=0))


def _positions(side: int) -> list[int]:
    """Where the two patches along a side begin."""
    free = max(side - _SIDE, 0)
    return [int(0.15 * free), int(0.85 * free)]


def _statistics(image: Pixels) -> Values:
    lacking = [(0, max(0, 24 - side)) for side in image.shape[:2]]
    rgb = np.pad(image.astype(np.float32), [*lacking, (0, 0)], "reflect")
    y: Plane = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    zero = _vanishing(y)
    chroma = [rgb[..., 0] - y, rgb[..., 2] - y]
    fine = _detail(y)
    coarse = _detail(_halved(y))
    fine_chroma = sum(map(_detail, chroma)) / 2
    coarse_chroma = sum(_detail(_halved(plane)) for plane in chroma) / 2
    step, double_step = (np.abs(y[:, k:] - y[:, :-k]).mean() for k in (1, 2))
    return np.array(
        [
            zero.max() - np.median(zero),
            np.median(zero),
            *np.log(_noise(y) + 0.2),
            np.log((coarse + 0.1) / (_detail(_halved(_halved(y))) + 0.1)),
            np.log((step + 0.1) / (double_step + 0.1)),
            np.log((fine_chroma + 0.1) / (fine + 0.1)),
            np.log((fine_chroma + 0.1) / (coarse_chroma + 0.1)),
            *((_blocks(y, side) + _blocks(y.T, side)) / 2 for side in (8, 16)),
        ]
    )


def _vanishing(y: Plane) -> Values:
    """The share of small high-frequency coefficients on each of the 64 grids."""
    rows = sliding_window_view(y, 8, axis=0) @ _DCT
    small = np.abs(sliding_window_view(rows, 8, axis=1) @ _DCT) < _ZERO
    share = small.mean(axis=(2, 3))
    return np.asarray(_cells(share, 8).mean(axis=(0, 2)).ravel())


def _noise(y: Plane) -> Values:
    """A sixth of the Laplacian's mean modulus in the flattest tenth, and in the median, of cells of
    6×6 pixels.
    """
    rows = np.diff(y, 2, axis=0)
    laplacian = np.abs(np.diff(rows, 2, axis=1)) / 6
    means = _cells(laplacian, 6).mean(axis=(1, 3))
    return np.asarray(np.percentile(means, [10, 50]))


def _detail(plane: Plane) -> float:
    """The mean modulus of second differences, at most 40 each."""
    means = []
    for axis in (0, 1):
        bends = np.abs(np.diff(plane, 2, axis=axis))
        means.append(bends.clip(max=40).mean())
    return float(sum(means)) / 2


def _halved(plane: Plane) -> Plane:
    """Means of 2×2 pixels."""
    return np.asarray(_cells(plane, 2).mean(axis=(1, 3)))


def _cells(values: NDArray[Any], side: int) -> NDArray[Any]:
    """Whole cells of side × side values: (H, W) to (H // side, side, W // side, side)."""
    height, width = (length // side for length in values.shape)
    whole = values[: side * height, : side * width]
    return whole.reshape(height, side, width, side)


def _blocks(y: Plane, side: int) -> float:
    """How much the mean step at one of `side` columns exceeds that of the median column."""
    step = np.abs(np.diff(y, axis=1))
    around = (step[:, :-2] + step[:, 2:]) / 2
    excess = step[:, 1:-1] - around
    columns = excess.clip(-6, 6).mean(axis=0)
    classes = columns[: len(columns) // side * side].reshape(-1, side).mean(axis=0)
    return float(classes.max() - np.median(classes))
