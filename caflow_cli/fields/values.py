"""Values of measured fields, as files hold them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import CaflowError, ensure
from ..images.profile import Array
from ..images.values import Place, Raster, Unit
from ..records import Table


def marked(members: Array, nodata: float | None) -> tuple[Array, float]:
    """Members, (M, H, W), as files hold them: float32, with a nodata value where they are missing.

    If a member has the nodata value, or there is none, NaN marks missing cells instead.

    Returns:
        What is stored, and what stands for a missing value.
    """
    with np.errstate(over="ignore"):
        stands = np.float32(math.nan if nodata is None else nodata)
    if not np.isfinite(stands) or (members == stands).any():
        stands = np.float32(np.nan)
    return np.where(np.isnan(members), stands, members).astype(np.float32), float(stands)


def fields_of(
    stored: Array,
    scale: float,
    offset: float,
    said: Table,
    place: Place | None,
    declared: Sequence[float],
    asked: float | None,
    label: str,
) -> list[Raster]:
    """Make a field of each band of a file.

    Args:
        stored: (M, H, W), of any real type.
        scale, offset: value = offset + scale · stored.
        said: The file's `unit`, `step` and `in`; integers have steps of their scale, if none.
        place: What places it.
        declared, asked, label: As for `checked_values`, with its errors.
    """
    ensure(stored.size > 0, f"{label!r} has no values", "give a field with values")
    is_packed = stored.dtype.kind in "iu"
    step = said.get("step")
    known = [*declared, *([] if asked is None else [asked])]
    nodata = math.nan if known and is_packed else next(iter(known), None)
    unasked = [] if _covers(asked, declared) else [*declared]
    unit = Unit(
        str(said.get("unit") or ""),
        float(step if step is not None else abs(scale) * is_packed),
        "db" if said.get("in") == "db" else "linear",
    )
    return [
        Raster(
            checked_values(band, declared, asked, label, scale, offset)[..., None],
            unit=unit,
            place=place,
            nodata=nodata,
            declared=tuple(offset + scale * v for v in unasked if _is_any(band, [v]).any()),
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
        CaflowError: (exit 1) there are missing values that neither the user names nor the file
            declares, or declares as 0; infinite ones, or ones that float32 does not hold.
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
    """Where values are missing, bool; CaflowError if some are not known to be."""
    known = [*declared, *([] if asked is None else [asked])]
    missing = _is_any(stored, [*known, math.nan])
    # A file may declare 0 for cells that are dry.
    unnamed = missing & ~_is_any(stored, [v for v in known if v != 0 or v == asked])
    if unnamed.any() and not _covers(asked, declared):
        value, place = first_of(stored, unnamed, 9)
        raise CaflowError(
            f"{label!r} has {unnamed.sum()} missing values ({value}), the first {place}",
            f"--nodata {value}",
        )
    return missing


def _covers(asked: float | None, declared: Sequence[float]) -> bool:
    """Whether what the user says accepts all missing values."""
    return asked is not None and (math.isnan(asked) or asked in declared)


def _is_any(stored: Array, values: Sequence[float]) -> Array:
    """Where what is stored is one of some values, as its type rounds them; NaN is one."""
    exact = np.array(values, float)
    if stored.dtype.kind == "f":
        with np.errstate(over="ignore"):
            exact = exact.astype(stored.dtype)
    found: Array = np.isin(stored, exact)
    return found | np.isnan(stored) if np.isnan(exact).any() else found


def first_of(stored: Array, where: Array, digits: int) -> tuple[str, str]:
    """The first value at a true place, and its row and column, from 0, as text."""
    row, column = np.unravel_index(int(where.argmax()), where.shape)
    return f"{stored[row, column].item():.{digits}g}", f"at row {row}, column {column}"
