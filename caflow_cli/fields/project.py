"""The projection of fields to the exact means of areas that they were drawn for."""

from __future__ import annotations

import numpy as np

from ..images.profile import Array


def project(x: Array, means: Array, zero: float | None) -> Array:
    """Change the values of each area so that its mean is exact.

    With a threshold, an area keeps its k largest values, times a factor, and the rest is 0; k is
    the largest number for which none of them is below the threshold. If all values of an area are
    dry, but its mean is not, they count as they are: nothing is drawn again, and the cells that
    came nearest to being wet share the mean. An area with less than one wet cell is uniform.
    Without a threshold, a constant is added.

    Args:
        x: (..., H, W). With a threshold, it is at least 0, and dry below the threshold.
        means: (h, w), float32; NaN where missing. H and W are the same multiple of h and w.
        zero: The threshold; None: all numbers are values. No value of the result lies between 0 and
            it, unless the whole area has less.

    Returns:
        (..., H, W) in the dtype of `means`, NaN where these are. In float64, |mean - m| <= 2^-22 m;
        without a threshold, 2^-22 times the largest |x|.
    """
    factor = x.shape[-1] // means.shape[-1]
    areas = areas_of(x.astype(np.float64), factor)
    totals = means.astype(np.float64)[..., None] * areas.shape[-1]
    if zero is None:
        areas = areas + (totals - areas.sum(-1, keepdims=True)) / areas.shape[-1]
    else:
        areas = _scaled(areas, totals, zero)
    return joined(areas, factor).astype(means.dtype)


def areas_of(x: Array, side: int) -> Array:
    """The values of whole areas of side×side: (..., H, W) to (..., h, w, side²)."""
    height, width = x.shape[-2] // side, x.shape[-1] // side
    x = x[..., : height * side, : width * side]
    split = x.reshape(*x.shape[:-2], height, side, width, side).swapaxes(-3, -2)
    return split.reshape(*split.shape[:-2], side * side)


def joined(areas: Array, side: int) -> Array:
    """The inverse of `areas_of`: (..., h, w, side²) to (..., side h, side w)."""
    *more, height, width, _ = areas.shape
    split = areas.reshape(*more, height, width, side, side).swapaxes(-3, -2)
    return split.reshape(*more, height * side, width * side)


def means_of(x: Array, factor: int) -> Array:
    """Means over areas of factor×factor values, in float64: (..., H, W) to (..., h, w).

    NaN where a value is.
    """
    means: Array = areas_of(x, factor).mean(-1, dtype=np.float64)
    return means


def repeated(x: Array, factor: int) -> Array:
    """Each value factor×factor times: (..., h, w) to (..., factor h, factor w)."""
    result: Array = x.repeat(factor, -2).repeat(factor, -1)
    return result


def _scaled(areas: Array, totals: Array, zero: float) -> Array:
    """Values of areas, (..., n), with these sums: the largest ones, times a factor, and zeros."""
    wet = areas >= zero
    tiny = np.finfo(np.float64).tiny  # so that an area of zeros has a largest value, too
    counted = np.where(wet | ~wet.any(-1, keepdims=True), areas + tiny, 0)
    order = np.argsort(-counted, -1, kind="stable")
    largest = np.take_along_axis(counted, order, -1)
    # largest / its sum falls with k, so these are the first k; one is always kept.
    kept = (largest * totals >= zero * largest.cumsum(-1)) & (largest > 0)
    kept[..., 0] = True
    largest = np.where(kept, largest, 0)
    result = np.empty_like(areas)
    scaled = largest / largest.sum(-1, keepdims=True) * totals
    scaled = np.where(totals < zero, totals / areas.shape[-1], scaled)
    np.put_along_axis(result, order, scaled, -1)
    return result
