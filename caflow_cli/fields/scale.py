"""From values in their unit to the scale of a model, and back: g = T(x).

    g = 10 log10(x / zero)               "db": 0 at the threshold of wet cells; -inf where dry
    g = 30 (x - low) / (high - low)      "linear"

Everything is float64; NaN, a missing value, stays NaN.
"""

from __future__ import annotations

import math

import numpy as np

from ..config import Values
from ..errors import CaflowError, ensure
from .units import same_unit
from .values import Array, Field, Steps, first_of

_RANGE = 30.0  # of a linear scale: about that of rain in dB
_MOST = 3000.0  # dB that float64 holds; members are scaled to their means
_BELOW = 1 - 2.0**-20  # so that float32 keeps dry values below the threshold
_NEPER = 10 / math.log(10)  # dB of a factor of e


def is_wet(values: Values, x: Array, cells: int = 1) -> Array:
    """Whether cells are wet: bool; or whether one of the `cells` can be whose mean is x.

    Values and threshold are compared in float32, in which values are written.
    """
    if values.zero is None:
        return ~np.isnan(x)
    return np.asarray(x.astype(np.float32) * np.float32(cells) >= np.float32(values.zero))


def to_scale(values: Values, x: Array, cells: int = 1) -> Array:
    """g of values, or of means of so many cells; -inf where these are dry."""
    x = x.astype(np.float64)
    if values.zero is None:
        return _RANGE * (x - values.low) / (values.high - values.low)
    wet = is_wet(values, x, cells)
    g = 10 * np.log10(x / values.zero, where=wet, out=np.full_like(x, -np.inf))
    g = np.maximum(g, 0, where=wet, out=g) if cells == 1 else g
    return np.where(np.isnan(x), np.nan, g)


def to_unit(values: Values, v: Array) -> Array:
    """Values of the points v of a sample; dry ones lie below the threshold.

    The nearer a dry value is to it, the nearer was the cell to being wet.
    """
    v = v.astype(np.float64)
    if values.zero is None:
        return values.low + v / _RANGE * (values.high - values.low)
    wet = values.zero * 10 ** (np.clip(v, 0, _MOST) / 10)
    return np.where(v < 0, values.zero * (1 + v) * _BELOW, np.maximum(wet, np.float32(values.zero)))


def log_slope(values: Values, x: Array) -> Array:
    """log T'(x) of wet cells, 0 of dry and missing ones."""
    wet = is_wet(values, x)
    if values.zero is None:
        return np.where(wet, math.log(_RANGE / (values.high - values.low)), 0.0)
    return np.where(wet, math.log(_NEPER) - np.log(np.where(wet, x, 1.0)), 0.0)


def spread(values: Values, x: Array, noise: Array, step: float, step_in: Steps = "linear") -> Array:
    """Values within the steps of the data: uniform there, as `noise` is in [0, 1).

    A step is `step` wide around its value, in the unit or in dB, but reaches no dry value.
    """
    wet = is_wet(values, x)
    low = np.float64(-math.inf if values.zero is None else np.float32(values.zero))
    if step_in == "linear":
        below = np.maximum(x - step / 2, low)
        moved = below + noise * (x + step / 2 - below)
    else:
        edge = 10 * np.log10(low / np.where(wet, x, 1.0)) if values.zero else low
        below = np.maximum(-step / 2, edge)
        moved = x * 10 ** ((below + noise * (step / 2 - below)) / 10)
    return np.where(wet, moved, x)


def points(
    values: Values, x: Array, noise: Array, step: float = 0.0, step_in: Steps = "linear"
) -> tuple[Array, Array]:
    """Points v of the model's density, and log T' at each cell (0 of dry and missing ones).

    Wet cells have the g of a value within their step; dry and missing ones lie in (-1, 0).

    Args:
        values: Those of the model.
        x: (..., H, W) in the unit; NaN where missing.
        noise: Uniform in [0, 1), of a shape that broadcasts.
        step: Width of the data's steps; 0: none.
        step_in: Whether these are steps of values or of their dB.
    """
    x = x.astype(np.float64)
    if step:
        x = spread(values, x, noise, step, step_in)
    wet = is_wet(values, x)
    return np.where(wet, to_scale(values, x), noise - 1), log_slope(values, x)


def check_unit(values: Values, field: Field, label: str = "the field") -> None:
    """Raise CaflowError if the field states another unit than the model."""
    ensure(
        field.unit == "" or same_unit(field.unit, values.unit),
        f"{label} is in {field.unit}, and the model in {values.unit}",
        f"convert it to {values.unit}, or choose another --model",
    )


def check_range(values: Values, field: Field) -> None:
    """Raise CaflowError unless the field has the model's unit, and values in its range."""
    check_unit(values, field)
    outside = (field.values < values.low) | (field.values > values.high)
    if outside.any():
        value, place = first_of(field.values, outside, 6)
        raise CaflowError(
            f"the field has {value} {values.unit} {place}: the model knows {values.low:g} to "
            f"{values.high:g}",
            f"--nodata {value}, if that stands for a missing value; or another --model",
        )
