"""Scales: from values in their unit to the points of a model, and back.

A scale is a monotone map g = T(x), its slope, and the way in which means become exact. A new kind
of value is a class here, named in `SCALES`; `task.values.transform` chooses it.

Everything is float64; NaN, a missing value, stays NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..config import Values
from ..errors import CaflowError, check_usage, ensure
from ..images.profile import Array
from ..images.values import Raster, Unit
from .project import project
from .units import same_unit
from .values import first_of

_RANGE = 30.0  # of a linear scale: about that of rain in dB
_MOST = 3000.0  # dB that float64 holds; members are scaled to their means
_SLIGHT = 0.1  # of the threshold: negative values above minus that are of regridding
_BELOW = 1 - 2.0**-20  # so that float32 keeps dry values below the threshold
_NEPER = 10 / math.log(10)  # dB of a factor of e


@dataclass(frozen=True)
class Linear:
    """The scale of values that are all alike: `g = 30 (x - low) / (high - low)`.

    Other scales without dry cells override `levels`, `values` and `log_slope`; one whose values
    have bounds that adding a constant could cross, `project`; one on which all values are known,
    `check_range`.

    Args:
        known: The unit and the range of the model's values.
        unit: Of the values that `points` gets: the steps of the data.
    """

    known: Values
    unit: Unit = Unit()  # noqa: RUF009  (it is frozen)

    has_dry: ClassVar[bool] = False  # whether cells can be dry, which takes a threshold, `zero`

    @property
    def zero(self) -> float | None:
        """The least value of a wet cell, as float32; None if no cell is dry."""
        return None

    def levels(self, x: Any, cells: int = 1) -> Array:
        """g of values, or of means of so many cells."""
        x = _exact(x)
        g: Array = _RANGE * (x - self.known.low) / (self.known.high - self.known.low)
        return g

    def values(self, v: Any) -> Array:
        """Values, in the unit, of the points v of a sample."""
        return self.known.low + _exact(v) / _RANGE * (self.known.high - self.known.low)

    def log_slope(self, x: Any) -> Array:
        """log T'(x) of wet cells, 0 of dry and missing ones."""
        slope = math.log(_RANGE / (self.known.high - self.known.low))
        return np.where(self.is_wet(x), slope, 0.0)

    def project(self, x: Array, means: Array) -> Array:
        """The sample x, (..., H, W) in the unit, with exactly these means of areas, (h, w)."""
        return project(x, means, self.zero)

    def is_wet(self, x: Any, cells: int = 1) -> Array:
        """Whether cells have a value: bool; with dry cells, also whether it is wet, or one of the
        `cells` can be whose mean is x."""
        return np.asarray(~np.isnan(_exact(x)))

    def points(self, x: Any, noise: Any) -> tuple[Array, Array]:
        """Points v of the model's density, and log T' at each cell (0 of dry and missing ones).

        Wet cells have the g of a value within their step; dry and missing ones lie in (-1, 0).

        Args:
            x: (..., H, W) in the unit; NaN where missing.
            noise: Uniform in [0, 1), of a shape that broadcasts.
        """
        x, noise = _exact(x), _exact(noise)
        if self.unit.step:
            x = self.spread(x, noise)
        return np.where(self.is_wet(x), self.levels(x), noise - 1), self.log_slope(x)

    def spread(self, x: Array, noise: Array) -> Array:
        """Values within the steps of the data: uniform there, as `noise` is in [0, 1).

        A step is `unit.step` wide around its value, in the unit or in dB, but reaches no dry value.
        """
        wet = self.is_wet(x)
        low = -math.inf if self.zero is None else self.zero
        step = self.unit.step
        if self.unit.step_in == "linear":
            below = np.maximum(x - step / 2, low)
            moved = below + noise * (x + step / 2 - below)
        else:
            edge = 10 * np.log10(low / np.where(wet, x, 1.0)) if self.zero else low
            below = np.maximum(-step / 2, edge)
            moved = x * 10 ** ((below + noise * (step / 2 - below)) / 10)
        return np.where(wet, moved, x)

    def counts(self, x: Any) -> dict[str, Any]:
        """The unit of a score, and the numbers of wet and dry cells."""
        wet = int(self.is_wet(x).sum())
        return {"unit": self.known.unit, "wet": wet, "dry": int((~np.isnan(x)).sum()) - wet}

    def check_unit(self, unit: Unit | None, label: str = "the field") -> None:
        """Raise CaflowError if a unit is another than the model's."""
        stated = unit.name if unit else ""
        ensure(
            stated == "" or same_unit(stated, self.known.unit),
            f"{label} is in {stated}, and the model in {self.known.unit}",
            f"convert it to {self.known.unit}, or choose another --model",
        )

    def cleared(self, raster: Raster) -> Raster:
        """The field, with slightly negative values set to 0 if cells can be dry."""
        return raster

    def check_declared(self, raster: Raster) -> None:
        """Raise CaflowError if cells are missing only because their file declares a value as
        missing that the model knows as one."""
        known, missing = self.known, int(np.isnan(raster.values).sum())
        for value in raster.declared if missing else ():
            ensure(
                not known.low <= value <= known.high,
                f"values are missing: {missing}, since the file declares {value:g} {known.unit}, "
                f"but the model knows {known.low:g} to {known.high:g}",
                "--nodata nan, if they are missing",
            )

    def check_range(self, raster: Raster) -> None:
        """Raise CaflowError unless the field has the model's unit, and values in its range."""
        self.check_unit(raster.unit)
        known = self.known
        outside = (raster.values < known.low) | (raster.values > known.high)
        if outside.any():
            value, place = first_of(raster.values[..., 0], outside[..., 0], 6)
            raise CaflowError(
                f"the field has {value} {known.unit} {place}: the model knows {known.low:g} to "
                f"{known.high:g}",
                f"--nodata {value}, if that stands for a missing value; or another --model",
            )


class Decibel(Linear):
    """The scale of values above a threshold: `g = 10 log10(x / zero)`; -inf where x is dry.

    Values and threshold are compared in float32, in which values are written.
    """

    has_dry = True

    @property
    def zero(self) -> float:
        assert self.known.zero is not None
        return float(np.float32(self.known.zero))

    def is_wet(self, x: Any, cells: int = 1) -> Array:
        single = _exact(x).astype(np.float32)
        return np.asarray(single * np.float32(cells) >= np.float32(self.zero))

    def cleared(self, raster: Raster) -> Raster:
        slight = (raster.values < 0) & (raster.values > -_SLIGHT * self.zero)
        values = np.where(slight, np.float32(0), raster.values)
        return replace(raster, values=values, cleared=int(slight.sum()))

    def levels(self, x: Any, cells: int = 1) -> Array:
        x = _exact(x)
        wet = self.is_wet(x, cells)
        g = 10 * np.log10(x / self.known.zero, where=wet, out=np.full_like(x, -np.inf))
        g = np.maximum(g, 0, where=wet, out=g) if cells == 1 else g
        return np.where(np.isnan(x), np.nan, g)

    def values(self, v: Any) -> Array:
        """Values of the points v of a sample; dry ones lie below the threshold.

        The nearer a dry value is to it, the nearer was the cell to being wet.
        """
        v = _exact(v)
        zero = self.known.zero
        assert zero is not None
        wet: Array = zero * 10 ** (np.clip(v, 0, _MOST) / 10)
        return np.where(v < 0, zero * (1 + v) * _BELOW, np.maximum(wet, self.zero))

    def log_slope(self, x: Any) -> Array:
        wet = self.is_wet(x)
        return np.where(wet, math.log(_NEPER) - np.log(np.where(wet, x, 1.0)), 0.0)


class Relative(Linear):
    """The scale of values of which only differences count, such as heights: `g = x / resolution`.

    With it, models are equivariant to an added constant. So all values are known to them.
    """

    @property
    def resolution(self) -> float:
        assert self.known.resolution is not None
        return self.known.resolution

    def levels(self, x: Any, cells: int = 1) -> Array:
        return _exact(x) / self.resolution

    def values(self, v: Any) -> Array:
        return _exact(v) * self.resolution

    def log_slope(self, x: Any) -> Array:
        return np.where(self.is_wet(x), -math.log(self.resolution), 0.0)

    def check_range(self, raster: Raster) -> None:
        self.check_unit(raster.unit)


# The one registration of scales, by the name in `task.values.transform`.
SCALES: dict[str, type[Linear]] = {"linear": Linear, "db": Decibel, "relative": Relative}


def scale_of(values: Values, unit: Unit | None = None) -> Linear:
    """The scale of a model's values, for data with the steps of a unit."""
    name = values.transform
    wanted = f"set task.values.transform to one of {', '.join(SCALES)}"
    check_usage(name in SCALES, f"task.values.transform is {name!r}", wanted)
    return SCALES[name](values, unit or Unit())


def _exact(x: Any) -> Array:
    return np.asarray(x.cpu() if hasattr(x, "cpu") else x, np.float64)
