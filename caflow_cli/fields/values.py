"""A measured field as one value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..config import Extent
from ..errors import CaflowError, ensure
from ..records import Table

Array: TypeAlias = NDArray[Any]
KEY = "caflow"  # of the provenance in a file
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
        nodata: What stands for a missing value in its file, and in those of members; NaN if the
            file has integers.
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

    def marked(self, members: Array) -> tuple[Array, float]:
        """Members, (M, H, W), as files hold them: float32, with this field's nodata where missing.

        If a member has the nodata value, NaN marks missing cells instead.

        Returns:
            What is stored, and what stands for a missing value.
        """
        with np.errstate(over="ignore"):
            nodata = np.float32(self.nodata)
        if not np.isfinite(nodata) or (members == nodata).any():
            nodata = np.float32(np.nan)
        return np.where(np.isnan(members), nodata, members).astype(np.float32), float(nodata)


def fields_of(
    stored: Array,
    scale: float,
    offset: float,
    said: Table,
    grid: Grid | None,
    declared: Sequence[float],
    asked: float | None,
    label: str,
) -> list[Field]:
    """Make a field of each band of a file.

    Args:
        stored: (M, H, W), of any real type.
        scale, offset: value = offset + scale · stored.
        said: The file's `unit`, `step` and `in`; integers have steps of their scale, if none.
        grid: What places it.
        declared, asked, label: As for `checked_values`, with its errors.
    """
    ensure(stored.size > 0, f"{label!r} has no values", "give a field with values")
    is_packed = stored.dtype.kind in "iu"
    step = said.get("step")
    nodata = [*declared, *([] if asked is None else [asked]), math.nan][0]
    return [
        Field(
            checked_values(band, declared, asked, label, scale, offset),
            str(said.get("unit") or ""),
            float(step if step is not None else abs(scale) * is_packed),
            "db" if said.get("in") == "db" else "linear",
            grid,
            math.nan if is_packed else nodata,
        )
        for band in stored
    ]


def checked_values(
    stored: Array,
    declared: Sequence[float],
    asked: float | None,
    label: str,
    scale: float = 1.0,
    offset: float = 0.0,
) -> Array:
    """Values of one band, offset + scale · stored, as float32, NaN where missing.

    Args:
        stored: (H, W), of any real type.
        declared: What the file says stands for a missing value.
        asked: What the user says does, or None.
        label: The file's name, for errors.

    Raises:
        CaflowError: (exit 1) there are missing values that the user does not name, infinite ones,
            or ones that float32 does not hold.
    """
    missing = _missing(stored, declared, asked, label)
    with np.errstate(over="ignore"):
        exact = np.where(missing, np.nan, stored * np.float64(scale) + offset)
        values: Array = exact.astype(np.float32)
    wrong = np.isinf(values)
    if stored.dtype.kind in "iu" and scale == 1:
        wrong |= ~missing & (values != exact)
    if wrong.any():
        value, place = first_of(stored, wrong, 17)
        raise CaflowError(
            f"{label!r} has {value} {place}, which float32 does not hold",
            f"--nodata {value}, if that stands for a missing value",
        )
    ensure(not missing.all(), f"every value of {label!r} is missing", "give a field with values")
    return values


def _missing(stored: Array, declared: Sequence[float], asked: float | None, label: str) -> Array:
    """Where values are missing, bool; CaflowError if the user does not name some of them."""
    known = np.array([*declared, *([] if asked is None else [asked])], float)
    if stored.dtype.kind == "f":
        with np.errstate(over="ignore"):  # as the file's type rounds them
            known = known.astype(stored.dtype)
    missing: Array = np.isin(stored, known) | np.isnan(stored)
    if asked is not None and (math.isnan(asked) or asked in declared):
        return missing
    unnamed = missing & ~np.isin(stored, known[len(declared) :])
    if unnamed.any():
        value, place = first_of(stored, unnamed, 9)
        raise CaflowError(
            f"{label!r} has {unnamed.sum()} missing values ({value}), the first {place}",
            f"--nodata {value}",
        )
    return missing


def first_of(stored: Array, where: Array, digits: int) -> tuple[str, str]:
    """The first value at a true place, and its row and column, from 0, as text."""
    row, column = np.unravel_index(int(where.argmax()), where.shape)
    return f"{stored[row, column].item():.{digits}g}", f"at row {row}, column {column}"
