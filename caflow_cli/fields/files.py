"""Files and arrays of fields: which reader reads what."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import CaflowError, ensure, usage_error
from ..images import read_source
from ..images.deep import TIFF_MAGIC
from .tiff import read_tiff
from .values import Array, Field, checked_values

_NPY = b"\x93NUMPY"
_FORMATS = "a TIFF of one band, a NetCDF file, or an array as .npy"


def read_field(
    source: str | Path | BinaryIO, *, nodata: float | None = None, name: str | None = None
) -> Field:
    """Read a field from a TIFF of one band, or from an array in a file of NumPy.

    Values are float32 in the file's unit: a TIFF's scale and offset are applied. Its description
    may be JSON with `unit`, `step` and `in`, "linear" or "db", the steps of the data.

    Args:
        source: A path, or a binary stream, which is read to its end.
        nodata: The stored value that stands for a missing one, or NaN. If it is what the file
            declares, or NaN, all missing values are accepted; by default, none are.
        name: Name of the field in errors. Default: the path or the stream's name.

    Raises:
        CaflowError: (exit 1) the file cannot be read, has several bands, or values are missing.
    """
    data, label = read_source(source, name)
    try:
        if data.startswith(TIFF_MAGIC):
            return read_tiff(data, label, nodata)
        if data.startswith(_NPY):
            values = np.load(io.BytesIO(data), allow_pickle=False)
            return Field(_checked(values, nodata, label))
    except CaflowError:
        raise
    except Exception as error:  # on a broken file, libraries may raise anything
        raise CaflowError(f"{label!r} is damaged or truncated", f"give {_FORMATS}") from error
    raise CaflowError(f"{label!r} is no field", f"give {_FORMATS}")


def field_of(values: Any, *, unit: str = "", nodata: float | None = None) -> Field:
    """Make a field of an array (H, W) of real numbers in a unit.

    Args:
        values: The array, or a `Field`, which is returned.
        unit: Of the values.
        nodata: As for `read_field`.

    Raises:
        CaflowError: (exit 2) it is no such array; (exit 1) values are missing.
    """
    if isinstance(values, Field):
        return values
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise usage_error(f"a field is an array of numbers, not {array.dtype}", "give floats")
    return Field(_checked(array, nodata, "the array"), unit)


def _checked(values: Array, nodata: float | None, label: str) -> Array:
    """Values of one band as float32; CaflowError unless they are a field."""
    shape = "×".join(map(str, values.shape)) or "one number"
    ensure(
        values.ndim == 2 and values.size > 0 and values.dtype.kind in "iuf",
        f"{label!r} is {values.dtype}, {shape}, no field",
        "give numbers of shape (height, width)",
    )
    return checked_values(values, None, nodata, label)
