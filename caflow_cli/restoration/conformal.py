"""Intervals by conformal risk control (Angelopoulos et al., 2022): arithmetic on arrays alone.

A value of an image has the mean m and the standard deviation s over all M candidates. Its interval

    C(λ) = [floor(m - λ (s + 1)), ceil(m + λ (s + 1))], clipped to 0-255

grows with λ. For calibration images i = 1, ..., n with known truth, the share of values of image i
outside of C(λ), its risk L_i(λ), never rises with λ. The calibrated λ is

    min { λ : (Σ_i L_i(λ) + 1) / (n + 1) <= 1 - level }

If the n images and a new one are exchangeable (of the same kind), the expected risk of the new one
is at most 1 - level, whatever the model got wrong. This is an average over images and values, not a
promise for an image or a pixel.
"""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from ..tasks import Pixels

Plane = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

_PER_UNIT = 100
LAMBDAS: Values = np.arange(255 * _PER_UNIT + 1) / _PER_UNIT  # 0 to 255, where all is covered
_ROUNDING = 1e-9


def moments(images: Iterable[Pixels]) -> tuple[Plane, Plane]:
    """Mean and variance (divisor M - 1) of M > 1 images of one size, value by value: (H, W, 3).

    Welford's algorithm: one image at a time, without cancellation between large numbers.
    """
    mean: Plane = np.zeros((), np.float32)
    squares: Plane = np.zeros((), np.float32)
    count = 0
    for image in images:
        count += 1
        change = image.astype(np.float32) - mean
        mean = mean + change / np.float32(count)
        squares = squares + change * (image - mean)
    return mean, squares / np.float32(count - 1)


def bounds(mean: Plane, deviation: Plane, lambd: float) -> tuple[Pixels, Pixels]:
    """The lower and the upper ends of all C(λ), uint8 of the shape of `mean`."""
    reach = lambd * (deviation.astype(np.float64) + 1)
    low = np.floor(mean - reach).clip(0, 255)
    high = np.ceil(mean + reach).clip(0, 255)
    return low.astype(np.uint8), high.astype(np.uint8)


def mean_width(low: Pixels, high: Pixels) -> float:
    """The mean of upper minus lower ends, in levels."""
    return float((high.astype(np.int16) - low).mean())


def risks(truth: Pixels, mean: Plane, deviation: Plane) -> Values:
    """L(λ) of an image for every λ in `LAMBDAS`.

    A whole number x lies outside of C(λ) exactly if λ <= t, with t = (|x - m| - 1) / (s + 1).
    """
    error = np.abs(truth.astype(np.float64) - mean)
    t = (error - 1) / (deviation.astype(np.float64) + 1)
    first = np.floor(t * _PER_UNIT).astype(np.int64) + 1  # index of the least λ that covers x
    counts = np.bincount(first.clip(0).ravel(), minlength=len(LAMBDAS))
    return 1 - np.cumsum(counts) / t.size


def least_images(level: float) -> int:
    """The least n with which any λ fulfills the bound: level / (1 - level), rounded up."""
    return math.ceil(level / (1 - level) - _ROUNDING)


def first_controlled(
    mean_risks: Values,
    images: int,
    level: float,
) -> npt.NDArray[np.intp]:
    """The index of the calibrated λ among increasing values of λ.

    Args:
        mean_risks: (..., K): the mean of L_i(λ) over n images for each of K values of λ, 0 for the
            last one. Leading dimensions are independent calibrations.
        images: n, at least `least_images(level)`.
        level: The wanted share of values within their intervals, between 0 and 1.
    """
    bound = (images + 1) * (1 - level) + _ROUNDING
    fits = images * mean_risks + 1 <= bound
    return np.asarray(np.argmax(fits, axis=-1))
