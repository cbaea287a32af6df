"""Traces of compression, noise and blur in the pixels of an image."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from .color import Pixels

Plane: TypeAlias = NDArray[np.float32]  # (H, W)
Values: TypeAlias = NDArray[np.float64]

_SIDE = 160  # of the four patches that stand for a large image
_WAVES = 0.5 * np.cos((2 * np.arange(8) + 1) * np.arange(8)[:, None] * np.pi / 16)
_WAVES[0] /= np.sqrt(2)
_DCT = _WAVES.T.astype(np.float32)  # of 8 points
_ZERO = 0.6  # of a coefficient; JPEG and WebP make most high frequencies zero

# The low frequencies of JPEG's standard luminance table (ITU-T T.81, K.1), and its mean.
_LOW = [(row, column) for row in range(6) for column in range(6 - row) if row + column]
_STANDARD = [11, 10, 16, 24, 40, 12, 12, 14, 19, 26, 14, 13, 16, 24, 14, 17, 22, 18, 22, 24]
_MEAN = 57.6
_BINS = 1024  # of a coefficient's modulus, 8 a level
_SIZES = np.arange(_BINS) / 8
_STEPS = np.arange(2, 49)  # in which a low frequency may be quantized
_NONZERO = (_STEPS[:, None] / 2 < _SIZES).astype(np.float64)
_COMB = _NONZERO * np.cos(2 * np.pi * _SIZES / _STEPS[:, None])
_FEWEST = 8  # nonzero coefficients that show a step


class Traces(NamedTuple):
    """What `traces` finds in an image.

    Attributes:
        table: The mean of the luminance table of a JPEG from which the pixels come; 0 if none.
        limited: How much luma Y keeps to 220 levels, as in lossy WebP and in video: 0 to some 0.6.
        statistics: Ten values that compression, noise and blur change. They are of Y if nothing
            else is stated:
            1. how much more DCT coefficients of high frequency vanish on one grid of 8×8 pixels
               than on the others: the grid of JPEG, wherever the image was cut;
            2. the share of such coefficients on any grid: lack of detail;
            3. log of the noise: the Laplacian in the flattest tenth of the image, and 4. in its
               median;
            5. log ratio of detail at 2 and 4 pixels, and 6. of steps over 1 and 2 pixels: blur;
            7. log ratio of detail in chroma and in Y, and 8. of chroma at 1 and 2 pixels: its
               resolution;
            9. how much steps between pixels exceed their neighbors in one of 8, and 10. of 16
               columns or rows: blocks.
    """

    table: float
    limited: float
    statistics: Values


def traces(image: Pixels) -> Traces:
    """The traces in an image, uint8 (H, W, 3).

    Of a large image, four patches are read: the mean of their statistics, else the largest value.
    """
    height, width = image.shape[:2]
    if height * width <= 4 * _SIDE**2:
        return _traces(image)
    found = []
    for top in _positions(height):
        for left in _positions(width):
            found.append(_traces(image[top : top + _SIDE, left : left + _SIDE]))
    tables, limits, statistics = zip(*found, strict=True)
    return Traces(max(tables), max(limits), np.asarray(np.mean(statistics, axis=0)))


def _positions(side: int) -> list[int]:
    """Where the two patches along a side begin."""
    free = max(side - _SIDE, 0)
    return [int(0.15 * free), int(0.85 * free)]


def _traces(image: Pixels) -> Traces:
    lacking = [(0, max(0, 24 - side)) for side in image.shape[:2]]
    rgb = np.pad(image.astype(np.float32), [*lacking, (0, 0)], "reflect")
    clipped = ((rgb == 0) | (rgb == 255)).any(axis=2)
    y: Plane = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    zero = _vanishing(y)
    top, left = np.unravel_index(zero.argmax(), zero.shape)
    table = _table(y[top:, left:], clipped[top:, left:])
    chroma = [rgb[..., 0] - y, rgb[..., 2] - y]
    on_grid = [zero.max() - np.median(zero), np.median(zero)]
    statistics = np.array([*on_grid, *_noise_and_blur(y, chroma)])
    return Traces(table, _limited(y[~clipped]), statistics)


def _noise_and_blur(y: Plane, chroma: list[Plane]) -> list[float]:
    """The statistics of `Traces` from the third on."""
    fine = _detail(y)
    coarse = _detail(_halved(y))
    fine_chroma = sum(map(_detail, chroma)) / 2
    coarse_chroma = sum(_detail(_halved(plane)) for plane in chroma) / 2
    step, double_step = (np.abs(y[:, k:] - y[:, :-k]).mean() for k in (1, 2))
    return [
        *np.log(_noise(y) + 0.2),
        np.log((coarse + 0.1) / (_detail(_halved(_halved(y))) + 0.1)),
        np.log((step + 0.1) / (double_step + 0.1)),
        np.log((fine_chroma + 0.1) / (fine + 0.1)),
        np.log((fine_chroma + 0.1) / (coarse_chroma + 0.1)),
        *((_blocks(y, side) + _blocks(y.T, side)) / 2 for side in (8, 16)),
    ]


def _vanishing(y: Plane) -> Values:
    """The share of small high-frequency coefficients on each of the 64 grids: (8, 8)."""
    rows = sliding_window_view(y, 8, axis=0) @ _DCT[:, 4:]
    small = np.abs(sliding_window_view(rows, 8, axis=1) @ _DCT[:, 4:]) < _ZERO
    share = small.mean(axis=(2, 3))
    return np.asarray(cells(share, 8).mean(axis=(0, 2)))


def _table(y: Plane, clipped: NDArray[np.bool_]) -> float:
    """The mean of the luminance table with which JPEG quantized blocks of 8×8 pixels; 0 if none.

    The nonzero coefficients of a quantized frequency are multiples of its step, up to the rounding
    of pixels: the mean of cos(2π coefficient / step) is close to 1. The largest such step counts,
    and the median of frequencies relative to the standard table. Blocks with clipped pixels are
    left out, unless most blocks have some.
    """
    whole = ~cells(clipped, 8).any(axis=(1, 3))
    blocks = cells(y, 8).swapaxes(1, 2)[whole if whole.mean() > 0.25 else whole | True]
    coefficients = _DCT.T @ blocks @ _DCT
    ratios = []
    for (row, column), standard in zip(_LOW, _STANDARD, strict=True):
        bins = np.rint(8 * np.abs(coefficients[:, row, column])).astype(int)
        counts = np.bincount(bins[bins < _BINS], minlength=_BINS)
        seen = _NONZERO @ counts
        if seen[0] >= _FEWEST:
            fits = (seen >= _FEWEST) & (_COMB @ counts > 0.55 * seen + np.sqrt(seen))
            ratios.append((fits * _STEPS).max() / standard)
    return _MEAN * float(np.median(ratios)) if len(ratios) >= 4 else 0.0


def _limited(y: Plane) -> float:
    """The mean of cos(2π y 219 / 255) over distinct values of y; near 0 for a few of them."""
    levels = np.unique(y)
    return float(np.cos(2 * np.pi * 219 / 255 * levels).sum() / max(len(levels), 32))


def _noise(y: Plane) -> Values:
    """A sixth of the Laplacian's mean modulus in the flattest tenth, and in the median, of cells of
    6×6 pixels.
    """
    rows = np.diff(y, 2, axis=0)
    laplacian = np.abs(np.diff(rows, 2, axis=1)) / 6
    means = cells(laplacian, 6).mean(axis=(1, 3))
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
    return np.asarray(cells(plane, 2).mean(axis=(1, 3)))


def cells(values: NDArray[Any], side: int) -> NDArray[Any]:
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
