"""A measured field as one value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..config import Extent
from ..errors import CaflowError, ensure

Array: TypeAlias = NDArray[Any]
Steps = Literal["linear", "db"]  # of what the steps of data are equal: of the values or of their dB


class Grid(Protocol):
    """What places a field: tags of a GeoTIFF, or coordinates and attributes."""

    def refined(self, factor: int) -> Grid:
        """The same area in `factor` times as many rows and columns."""
        ...


@dataclass(frozen=True, eq=False)
class Field:
    """A measured field, with all that travels with it.

    Attributes:
        values: (H, W), float32 in `unit`, finite, or NaN where missing.
        unit: As the file states it, such as "mm/h"; empty if it states none.
        step: Width of the steps of the data; 0: none, or unknown.
        step_in: Whether these are steps of the values, or of their dB.
        grid: What places it, or None.
        nodata: What stands in files for a missing value.
    """

    values: Array
    unit: str = ""
    step: float = 0.0
    step_in: Steps = "linear"
    grid: Grid | None = None
    nodata: float = math.nan

    @property
    def size(self) -> Extent:
        """Height and width."""
        height, width = self.values.shape
        return height, width

    @property
    def missing(self) -> Array:
        """Where values are missing: bool (H, W)."""
        return np.isnan(self.values)


def checked_values(stored: Array, declared: float | None, asked: float | None, label: str) -> Array:
    """Values of one band as float32, NaN where missing.

    Args:
        stored: (H, W), of any real type.
        declared: What the file says stands for a missing value, or None.
        asked: What the user says does, or None.
        label: The file's name, for errors.

    Raises:
        CaflowError: (exit 1) there are missing values that the user does not name, infinite ones,
            or ones that float32 does not hold.
    """
    known = [value for value in (declared, asked) if value is not None and not math.isnan(value)]
    missing = np.isin(stored, known)
    if stored.dtype.kind == "f":
        missing |= np.isnan(stored)
    if asked is None:
        accepted = np.zeros_like(missing)
    else:
        accepted = missing if math.isnan(asked) or asked == declared else stored == asked
    unnamed = missing & ~accepted
    if unnamed.any():
        row, column = first_place(unnamed)
        value = f"{stored[row, column].item():.9g}"
        raise CaflowError(
            f"{label!r} has {unnamed.sum()} missing values ({value}), the first at row {row}, "
            f"column {column}",
            f"--nodata {value}",
        )
    with np.errstate(over="ignore"):
        values = np.where(missing, np.nan, stored).astype(np.float32)
    wrong = np.isinf(values)
    if stored.dtype.kind in "iu":
        wrong |= ~missing & (values.astype(np.float64) != stored)
    if wrong.any():
        row, column = first_place(wrong)
        value = f"{stored[row, column].item():.17g}"
        raise CaflowError(
            f"{label!r} has {value} at row {row}, column {column}, which float32 does not hold",
            f"--nodata {value}, if that stands for a missing value",
        )
    ensure(not missing.all(), f"every value of {label!r} is missing", "give a field with values")
    return values


def first_place(where: Array) -> tuple[int, int]:
    """Row and column of the first true value, from 0."""
    row, column = np.unravel_index(int(where.argmax()), where.shape)
    return int(row), int(column)
