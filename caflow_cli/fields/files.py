"""Files and arrays of fields: which reader reads what."""

from __future__ import annotations

import io
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import CaflowError, check_usage, ensure, usage_error
from ..images import atomic_write, read_source
from ..images.refusals import TIFF_MAGIC
from ..paths import is_file
from ..records import Table
from .geotiff import GeoTags
from .netcdf import (
    NETCDF_MAGIC,
    encode_netcdf,
    fields_of_xarray,
    read_netcdf,
    read_netcdf_provenance,
)
from .tiff import encode_tiff, read_tiff, read_tiff_provenance, stated_tiff_unit
from .values import Array, Field, checked_values

_NPY = b"\x93NUMPY"
_KINDS = "a TIFF of one band, a NetCDF file, or an array as .npy"
# Suffixes of files, and what they hold.
FIELD_FORMATS: Mapping[str, str] = {
    ".tif": "tiff",
    ".tiff": "tiff",
    ".nc": "netcdf",
    ".nc4": "netcdf",
    ".npy": "npy",
}


def read_field(
    source: str | Path | BinaryIO, *, nodata: float | None = None, name: str | None = None
) -> Field:
    """Read a field from a TIFF of one band, a NetCDF file of one variable, or a file of NumPy.

    Values are float32 in the file's unit: scale and offset of integers are applied. The description
    of a TIFF may be JSON with `unit`, `step` and `in` ("linear" or "db"), the steps of the data; a
    NetCDF variable has the attributes `units`, `step` and `step_in`. Integers have steps of their
    scale.

    Args:
        source: A path, or a binary stream, which is read to its end.
        nodata: The stored value that stands for a missing one, or NaN. If it is what the file
            declares, or NaN, all missing values are accepted; by default, none are.
        name: Name of the field in errors. Default: the path or the stream's name.

    Raises:
        CaflowError: (exit 1) the file cannot be read, has several bands, or values are missing; or
            a GeoTIFF is placed by rational polynomials.
    """
    fields = read_members(source, nodata=nodata, name=name)
    label = name or source
    is_map = isinstance(fields[0].grid, GeoTags)
    hint = f"gdal_translate -b 1 {label} band.tif" if is_map else "give one of them"
    ensure(len(fields) == 1, f"{str(label)!r} has {len(fields)} bands, and a field has one", hint)
    return fields[0]


def read_members(
    source: str | Path | BinaryIO, *, nodata: float | None = None, name: str | None = None
) -> list[Field]:
    """Read every band of a file, such as the members that `encode_members` wrote, as a field.

    Arguments and errors are those of `read_field`.
    """
    data, label = read_source(source, name)
    with _refusing_damage(label):
        if data.startswith(TIFF_MAGIC):
            return read_tiff(data, label, nodata)
        if data.startswith(NETCDF_MAGIC):
            return read_netcdf(data, label, nodata)
        if data.startswith(_NPY):
            values = np.load(io.BytesIO(data), allow_pickle=False)
            bands = values if values.ndim == 3 and len(values) > 0 else values[None]
            return [Field(_checked(band, nodata, label)) for band in bands]
    hint = f"give {_KINDS}; a photograph needs a model of images"
    raise CaflowError(f"{label!r} is no field", hint)


@contextmanager
def _refusing_damage(label: str) -> Iterator[None]:
    """Raise CaflowError for whatever a library raises on a broken file."""
    try:
        yield
    except CaflowError:
        raise
    except Exception as error:
        raise CaflowError(f"{label!r} is damaged or truncated", f"give {_KINDS}") from error


def format_of_field(path: Path) -> str | None:
    """The format for a path's suffix; None if no field is written with it."""
    return FIELD_FORMATS.get(path.suffix.lower())


def stated_unit(path: Path) -> str | None:
    """The unit of a file that holds a field, empty if it states none; None for images.

    A TIFF holds a field if its values are floats, and its description states a unit; or GDAL does.

    Raises:
        CaflowError: (exit 1) it is NetCDF, and cannot be read.
    """
    format = format_of_field(path)
    if format is None or not is_file(path):
        return None
    if format == "netcdf":
        return read_members(path, nodata=math.nan)[0].unit
    if format == "npy":
        return ""
    with suppress(Exception):  # no such TIFF, which reading will say
        return stated_tiff_unit(path) or None
    return None


def check_place(like: Field, factor: int, format: str) -> None:
    """Raise CaflowError if the place of a field cannot be refined, or (exit 2) not in a format."""
    if like.grid is None:
        return
    kind, suffix = ("GeoTIFF", ".tif") if isinstance(like.grid, GeoTags) else ("NetCDF file", ".nc")
    check_usage(
        format in (FIELD_FORMATS[suffix], "npy"),
        f"the place of a field in a {kind} is not converted to {format}",
        f"-o FILE{suffix}, or --format {FIELD_FORMATS[suffix]}",
    )
    like.grid.refined(factor)


def encode_members(
    format: str,
    members: Array,
    like: Field,
    factor: int,
    seeds: Sequence[int] | None = None,
    provenance: Table | None = None,
) -> bytes:
    """Encode the members of an ensemble as a file: a band each.

    Args:
        format: A value of `FIELD_FORMATS`.
        members: (M, H, W), float32 in the unit, NaN where missing.
        like: The coarse field, whose place, unit and nodata members have.
        factor: How many times finer they are.
        seeds: Of the members. Default: from 0.
        provenance: Of the file; `.npy` holds none.

    Raises:
        CaflowError: (exit 2) the format cannot hold the place of the field, or (exit 1) a
            coordinate cannot be refined.
    """
    seeds = seeds or range(len(members))
    check_place(like, factor, format)
    if format == "tiff":
        return encode_tiff(members, like, factor, seeds, provenance)
    if format == "netcdf":
        return encode_netcdf(members, like, factor, seeds, provenance)
    buffer = io.BytesIO()
    np.save(buffer, members.astype(np.float32))
    return buffer.getvalue()


def write_members(
    path: Path,
    members: Array,
    like: Field,
    factor: int,
    seeds: Sequence[int] | None = None,
    provenance: Table | None = None,
) -> None:
    """Write `encode_members` in the format of a path's suffix, with `atomic_write`; same errors."""
    format = format_of_field(path)
    if format is None:
        raise usage_error(
            f"no field is written as {path.name!r}", f"a suffix of {[*FIELD_FORMATS]}"
        )
    atomic_write(path, encode_members(format, members, like, factor, seeds, provenance))


def read_provenance(source: str | Path | BinaryIO) -> Table | None:
    """Read the provenance that `encode_members` wrote; None if there is none.

    Raises:
        CaflowError: The file cannot be read.
    """
    data, label = read_source(source)
    with _refusing_damage(label):
        if data.startswith(NETCDF_MAGIC):
            return read_netcdf_provenance(data, label)
        return read_tiff_provenance(data) if data.startswith(TIFF_MAGIC) else None


def field_of(values: Any, *, unit: str = "", nodata: float | None = None) -> Field:
    """Make a field of an array (H, W) of real numbers in a unit.

    Args:
        values: The array, which may be an `xarray.DataArray`, whose coordinates and attributes are
            kept; or a `Field`, which is returned; or a path, as for `read_field`.
        unit: Of the values, unless a `DataArray` or a file states it.
        nodata: As for `read_field`.

    Raises:
        CaflowError: (exit 2) it is no such array; (exit 1) values are missing, or the file cannot
            be read.
    """
    if isinstance(values, str | Path):
        values = read_field(values, nodata=nodata)
    if isinstance(values, Field):
        return values if values.unit else replace(values, unit=unit)
    if "xarray" in sys.modules and isinstance(values, sys.modules["xarray"].DataArray):
        label = str(values.name or "the array")
        fields = fields_of_xarray(values, nodata, label, values.coords.to_dataset())
        ensure(len(fields) == 1, f"{label!r} has {len(fields)} members", ".isel(member=0)")
        return field_of(fields[0], unit=unit)
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
    return checked_values(values, [], nodata, label)
