"""Files and arrays of fields: which reader reads what."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import CaflowError, check_usage, ensure, usage_error
from ..images import Input, Output, Raster, read_source
from ..images.profile import Array
from ..images.refusals import TIFF_MAGIC
from ..images.values import Unit, unit_of
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
from .values import checked_values

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
    source: str | Path | BinaryIO,
    *,
    nodata: float | None = None,
    name: str | None = None,
    variable: str | None = None,
    units: Sequence[str] = (),
) -> Input:
    """Read a field from a TIFF of one band, a NetCDF file, or a file of NumPy.

    Values are float32 in the file's unit: scale and offset of integers are applied. The description
    of a TIFF may be JSON with `unit`, `step` and `in` ("linear" or "db"), the steps of the data; a
    NetCDF variable has the attributes `units`, `step` and `step_in`. Integers have steps of their
    scale.

    Args:
        source: A path, or a binary stream, which is read to its end.
        nodata: The stored value that stands for a missing one, or NaN. If it is what the file
            declares, or NaN, all missing values are accepted; by default, those that the file
            declares, unless as 0, which may be a value.
        name: Name of the field in errors. Default: the path or the stream's name.
        variable: Of a NetCDF file. Default: the only one of two dimensions or more.
        units: If there are several, the default is the only one in one of these units.

    Raises:
        CaflowError: (exit 1) the file cannot be read, has several bands or variables, or values
            are missing that are not accepted; or a GeoTIFF is placed by rational polynomials.
    """
    fields = read_members(source, nodata=nodata, name=name, variable=variable, units=units)
    label = name or source
    is_map = isinstance(fields[0].image.place, GeoTags)
    hint = f"gdal_translate -b 1 {label} band.tif" if is_map else "give one of them"
    ensure(len(fields) == 1, f"{str(label)!r} has {len(fields)} bands, and a field has one", hint)
    return fields[0]


def read_members(
    source: str | Path | BinaryIO,
    *,
    nodata: float | None = None,
    name: str | None = None,
    variable: str | None = None,
    units: Sequence[str] = (),
) -> list[Input]:
    """Read every band of a file, such as the members that `encode_members` wrote, as a field.

    Arguments and errors are those of `read_field`.
    """
    data, label = read_source(source, name)
    is_netcdf = data.startswith(NETCDF_MAGIC)
    message = f"{label!r} is no NetCDF file, and has no variable {variable!r}"
    ensure(is_netcdf or variable is None, message, "leave --variable out")
    with _refusing_damage(label):
        if data.startswith(TIFF_MAGIC):
            return _inputs(read_tiff(data, label, nodata), "TIFF")
        if is_netcdf:
            return _inputs(read_netcdf(data, label, nodata, variable, units), "NETCDF")
        if data.startswith(_NPY):
            values = np.load(io.BytesIO(data), allow_pickle=False)
            ensure(
                values.dtype != np.uint8 or values.ndim != 3 or values.shape[2] not in (3, 4),
                f"{label!r} holds colors, and arrays in files are fields",
                "save it as PNG",
            )
            bands = values if values.ndim == 3 and len(values) > 0 else values[None]
            return _inputs([_checked(band, nodata, label) for band in bands], "NPY")
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


def holds_field(source: Path | bytes) -> bool:
    """Whether a file, or what was read of a stream, holds a measured field.

    NetCDF and NumPy files do, and TIFFs that state a unit: those of floats in their description, or
    any as GDAL does.
    """
    try:
        with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as file:
            head = file.read(8)
            if head.startswith(TIFF_MAGIC):
                file.seek(0)
                return bool(stated_tiff_unit(file))
    except Exception:  # there is no such file, or it is damaged, which reading will say
        return isinstance(source, Path) and source.suffix.lower() in (".nc", ".nc4", ".npy")
    return head.startswith((*NETCDF_MAGIC, _NPY))


def format_of_content(data: bytes) -> str:
    """The format of the file of a field, a value of `FIELD_FORMATS`."""
    if data.startswith(NETCDF_MAGIC):
        return "netcdf"
    return "npy" if data.startswith(_NPY) else "tiff"


def _inputs(rasters: Sequence[Raster], format: str) -> list[Input]:
    return [Input(raster, format=format) for raster in rasters]


@dataclass(frozen=True)
class FieldEncoder:
    """Encodes the results of a field in one format, all in one file: a band each.

    Attributes:
        format: A value of `FIELD_FORMATS`.
        provenance: Whether to write provenance, which `.npy` cannot hold.

    Raises:
        CaflowError: (exit 2) the format is unknown.
    """

    format: str
    provenance: bool = True
    lossless = True
    bits = 32

    def __post_init__(self) -> None:
        known = sorted({*FIELD_FORMATS.values()})
        hint = f"--format {' or '.join(known)}"
        check_usage(self.format in known, f"fields are not written as {self.format!r}", hint)

    @property
    def suffixes(self) -> Sequence[str]:
        return [suffix for suffix, name in FIELD_FORMATS.items() if name == self.format]

    def losses(self, source: Input) -> list[str]:
        return []

    def check(self, source: Input, height: int, width: int) -> None:
        """Raise CaflowError if the place of a field cannot be refined, or (exit 2) not in this
        format."""
        place = source.image.place
        if place is None:
            return
        kind, suffix = ("GeoTIFF", ".tif") if isinstance(place, GeoTags) else ("NetCDF file", ".nc")
        check_usage(
            self.format in (FIELD_FORMATS[suffix], "npy"),
            f"the place of a field in a {kind} is not converted to {self.format}",
            f"-o FILE{suffix}, or --format {FIELD_FORMATS[suffix]}",
        )
        place.refined(height // source.image.size[0])

    def files(self, outputs: Sequence[Output], records: Sequence[Table]) -> Iterator[bytes]:
        """The one file of outputs, with what their provenance has in common, and their seeds."""
        record = record_of(records)
        provenance = record if self.provenance else None
        yield self.encode(stacked(outputs), outputs[0].image, record["seeds"], provenance)

    def encode(
        self, members: Array, like: Raster, seeds: Sequence[int], provenance: Table | None = None
    ) -> bytes:
        """Encode fields, (M, H, W), as the bands of a file.

        Args:
            members: float32 in the unit, NaN where missing.
            like: One of them, whose place, unit and nodata all have.
            seeds: Of the members.
            provenance: Of the file.
        """
        if self.format == "tiff":
            return encode_tiff(members, like, seeds, provenance)
        if self.format == "netcdf":
            return encode_netcdf(members, like, seeds, provenance)
        buffer = io.BytesIO()
        np.save(buffer, members.astype(np.float32))
        return buffer.getvalue()


def record_of(records: Sequence[Table]) -> Table:
    """The provenance of an ensemble: what that of its members has in common, and their seeds."""
    first, *others = records
    shared = {k: v for k, v in first.items() if all(record.get(k) == v for record in others)}
    return {**shared, "seeds": [record["seed"] for record in records]}


def stacked(outputs: Sequence[Output]) -> Array:
    """The values of fields: (M, H, W)."""
    return np.stack([output.image.values[..., 0] for output in outputs])


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


def as_field(values: Any, *, unit: str = "", nodata: float | None = None) -> Input:
    """Make a field of an array (H, W) of real numbers in a unit.

    Args:
        values: The array, which may be an `xarray.DataArray`, whose coordinates and attributes are
            kept; or a path, as for `read_field`.
        unit: Of the values, unless a `DataArray` or a file states it.
        nodata: As for `read_field`.

    Raises:
        CaflowError: (exit 2) it is no such array; (exit 1) values are missing, or the file cannot
            be read.
    """
    if isinstance(values, str | Path):
        found = read_field(values, nodata=nodata, units=[unit])
    elif "xarray" in sys.modules and isinstance(values, sys.modules["xarray"].DataArray):
        label = str(values.name or "the array")
        fields = fields_of_xarray(values, nodata, label, values.coords.to_dataset())
        ensure(len(fields) == 1, f"{label!r} has {len(fields)} members", ".isel(member=0)")
        found = Input(fields[0])
    else:
        array = np.asarray(values)
        if array.dtype.kind not in "iuf":
            raise usage_error(f"a field is an array of numbers, not {array.dtype}", "give floats")
        found = Input(_checked(array, nodata, "the array"))
    stated = unit_of(found.image)
    unit = stated.name or unit
    return replace(found, image=replace(found.image, unit=replace(stated, name=unit)))


def _checked(values: Array, nodata: float | None, label: str) -> Raster:
    """One band as a field without a unit; CaflowError unless it is one."""
    shape = "×".join(map(str, values.shape)) or "one number"
    ensure(
        values.ndim == 2 and values.size > 0 and values.dtype.kind in "iuf",
        f"{label!r} is {values.dtype}, {shape}, no field",
        "give numbers of shape (height, width)",
    )
    return Raster(checked_values(values, [], nodata, label)[..., None], unit=Unit())
