"""NetCDF files and arrays of xarray, with CF's coordinates: read, refined and written.

Of the extra `fields`, which is imported only when such a field is met.
"""

from __future__ import annotations

import gc
import io
import json
import math
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CaflowError, ensure, reason_of, usage_error
from ..images.profile import Array
from ..images.provenance import PROVENANCE
from ..images.values import Raster, unit_of
from ..records import Table
from .units import same_unit
from .values import fields_of, marked

if TYPE_CHECKING:
    import xarray

NETCDF_MAGIC = (b"\x89HDF", b"CDF")
_CLASSIC = b"CDF"
_HINT = 'pip install -e ".[fields]"'
_MEMBER = "member"
_MOST = 2**30  # bytes of a file's variables in memory
_hook_lock = threading.Lock()
_PACKED = ("scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned")


@dataclass(frozen=True, eq=False)
class Coordinates:
    """What a field of xarray has beside its values.

    Attributes:
        dataset: Coordinates, with their bounds, and the attributes of the file.
        name: The variable's.
        dims: Of its rows and columns.
        attrs: Its attributes, with the name of its grid mapping.
    """

    dataset: xarray.Dataset
    name: str
    dims: tuple[str, str]
    attrs: Table

    def refined(self, factor: int) -> Coordinates:
        """The same area in `factor` times as many rows and columns.

        Coordinates are interpolated linearly, and bounds divided.
        """
        import xarray

        coords = self.dataset.variables
        bounds = {_bounds_of(coord) for coord in coords.values()}
        made = {}
        for name, coord in coords.items():
            values = self._refined(coord, factor, str(name), name in bounds)
            attrs = {key: value for key, value in coord.attrs.items() if key != "bounds"}
            if "GeoTransform" in attrs:  # as GDAL writes it into the variable of the grid mapping
                attrs["GeoTransform"] = _smaller_steps(str(attrs["GeoTransform"]), factor)
            said = _bounds_of(coord)
            kept = {"bounds": said} if said in coords else {}
            made[name] = xarray.Variable(coord.dims, values, attrs, kept)
        return replace(self, dataset=xarray.Dataset(coords=made, attrs=self.dataset.attrs))

    def cut(self, rows: slice, columns: slice) -> Coordinates:
        """The place of a part."""
        part = dict(zip(self.dims, (rows, columns), strict=True))
        dataset = self.dataset.isel(part, missing_dims="ignore")
        for coord in dataset.variables.values():
            if "GeoTransform" in coord.attrs:  # x, its steps in a column and a row; and those of y
                numbers = np.array(str(coord.attrs["GeoTransform"]).split(), float).reshape(2, 3)
                numbers[:, 0] += numbers[:, 1:] @ (columns.start, rows.start)
                text = " ".join(f"{number:.17g}" for number in numbers.ravel())
                coord.attrs = {**coord.attrs, "GeoTransform": text}
        return replace(self, dataset=dataset)

    def _refined(self, coord: xarray.Variable, factor: int, name: str, is_bounds: bool) -> Array:
        """The values of a coordinate, or bounds (n, 2), of smaller cells."""
        from scipy.interpolate import make_interp_spline

        values: Array = coord.values
        for axis in (axis for axis, dim in enumerate(coord.dims) if dim in self.dims):
            if values.dtype.kind not in "iuf":
                values = values.repeat(factor, axis)
                continue
            exact = values.astype(np.float64)
            if is_bounds:
                edges = np.linspace(exact[:, 0], exact[:, 1], factor + 1, axis=1)
                exact = np.stack([edges[:, :-1], edges[:, 1:]], -1).reshape(-1, 2)
            else:
                _check_steps(exact, axis, coord.attrs, name)
                count = values.shape[axis]
                centers = (np.arange(count * factor) + 0.5) / factor - 0.5
                exact = make_interp_spline(np.arange(count), exact, 1, axis=axis)(centers)
            values = exact.astype(values.dtype) if values.dtype.kind == "f" else exact
        return values


def _bounds_of(coord: xarray.Variable) -> Any:
    """The name of the bounds of a coordinate, which xarray may have moved from its attributes."""
    return coord.attrs.get("bounds") or coord.encoding.get("bounds")


def _smaller_steps(transform: str, factor: int) -> str:
    """GDAL's six numbers of a place: x, its steps in a row and a column, and those of y."""
    numbers = [float(number) for number in transform.split()]
    steps = [number / (factor if k % 3 else 1) for k, number in enumerate(numbers)]
    return " ".join(f"{step:.17g}" for step in steps)


def _check_steps(values: Array, axis: int, attrs: Table, name: str) -> None:
    """Raise CaflowError unless a coordinate can be interpolated."""
    steps = np.diff(values, axis=axis)
    ensure(
        steps.size > 0,
        f"the coordinate {name!r} has one value, so its cells have no known size",
        "give a larger field, or leave the coordinate out",
    )
    one_way = values.ndim > 1 or (steps > 0).all() or (steps < 0).all()
    ensure(bool(one_way), f"the coordinate {name!r} is not monotonic", "sort it: .sortby(...)")
    turns = str(attrs.get("units", "")).startswith("degree") and (np.abs(steps) > 180).any()
    ensure(
        not turns,
        f"the coordinate {name!r} jumps by 360 degrees",
        f"give it without a jump: {name} = {name} % 360",
    )


def read_netcdf(
    data: bytes, label: str, nodata: float | None, variable: str | None, units: Sequence[str]
) -> list[Raster]:
    """Read a variable of a NetCDF file, each member as a field.

    Arguments and errors as for `read_field`.
    """
    xarray = _xarray(label)
    raw = _opened(data, label)
    name = _variable(raw, variable, units, label)
    others = {dim for array in raw.data_vars.values() if array.ndim > 1 for dim in array.dims}
    beside = raw.drop_dims(others.difference(raw[name].dims))
    beside = beside.drop_vars(beside.data_vars)  # coordinates may be packed, too
    beside = xarray.decode_cf(beside, decode_coords=False, decode_times=False)
    return fields_of_xarray(raw[name], nodata, label, beside)


def _variable(raw: xarray.Dataset, asked: str | None, units: Sequence[str], label: str) -> str:
    """The variable that is asked for, else the only one, or the only one in one of these units."""
    found = {
        str(name): str(array.attrs.get("units", ""))
        for name, array in raw.data_vars.items()
        if array.ndim > 1 and array.dtype.kind in "iuf"
    }
    named = ", ".join(f"{name} ({unit or 'no unit'})" for name, unit in found.items())
    hint = f"--variable {' or '.join(found)}" if found else "give a file with a field"
    if asked is not None:
        ensure(asked in found, f"{label!r} has no variable {asked!r}, but {named or 'none'}", hint)
        return asked
    fitting = [name for name, unit in found.items() if any(same_unit(unit, u) for u in units)]
    fitting = [*found] if len(found) == 1 else fitting
    message = f"{label!r} has {len(found)} variables of two dimensions or more: {named}"
    ensure(len(fitting) == 1, message, hint)
    return fitting[0]


def fields_of_xarray(
    array: xarray.DataArray, nodata: float | None, label: str, beside: xarray.Dataset
) -> list[Raster]:
    """Make a field of each member of an array, with values as stored or as decoded by xarray.

    Args:
        array: Of two dimensions, or with one of members before them.
        nodata: As for `read_field`.
        label: The array's name, for errors.
        beside: The data set of coordinates and bounds.
    """
    attrs = {**array.attrs}
    packed = {key: attrs.pop(key) for key in _PACKED if key in attrs}
    if "grid_mapping" in array.encoding:
        attrs["grid_mapping"] = array.encoding["grid_mapping"]
    array = _squeezed(array, label)
    dims = tuple(map(str, array.dims))
    name = str(array.name or "field")
    grid = Coordinates(_of_one(beside, dims), name, (dims[-2], dims[-1]), attrs)
    values = array.values
    if str(packed.get("_Unsigned", "")).lower() == "true":
        values = values.view(values.dtype.str.replace("i", "u"))
    declared = [float(packed[key]) for key in ("_FillValue", "missing_value") if key in packed]
    if {"_FillValue", "missing_value"} & array.encoding.keys():  # xarray has made them NaN
        declared.append(math.nan)
    scale, offset = float(packed.get("scale_factor", 1)), float(packed.get("add_offset", 0))
    said = {"unit": attrs.get("units"), "step": attrs.get("step"), "in": attrs.get("step_in")}
    bands = values[None] if values.ndim == 2 else values
    return fields_of(bands, scale, offset, said, grid, declared, nodata, label)


def _squeezed(array: xarray.DataArray, label: str) -> xarray.DataArray:
    """An array of two dimensions, or with one of members before them; CaflowError for others."""
    single = [dim for dim, size in array.sizes.items() if size == 1]
    array = array.squeeze(single[: array.ndim - 2])
    dims = array.dims
    if len(dims) != 2 and (len(dims) != 3 or dims[0] != _MEMBER):
        sizes = ", ".join(f"{dim} {size}" for dim, size in array.sizes.items())
        first = f"{dims[0]}=0" if dims else ""
        hint = f"xarray.open_dataset({label!r}).isel({first}).to_netcdf('one.nc')"
        raise CaflowError(f"{label!r} has {len(dims)} dimensions ({sizes}), no field", hint)
    return array


def _of_one(dataset: xarray.Dataset, dims: tuple[str, ...]) -> xarray.Dataset:
    """The coordinates of one field with these dimensions.

    Corners of cells, the bounds of coordinates of two dimensions, are left out.
    """
    single = [dim for dim, size in dataset.sizes.items() if size == 1 and dim not in dims]
    kept = dataset.squeeze(single).drop_dims(_MEMBER, errors="ignore")
    corners = [key for key, coord in kept.coords.items() if coord.ndim > 2]
    kept = kept.drop_vars(corners)
    if _MEMBER not in kept.coords:
        return kept
    other = f"coarse_{_MEMBER}"  # the field is a member of an ensemble
    return kept.drop_vars(other, errors="ignore").rename({_MEMBER: other})


def read_netcdf_provenance(data: bytes, label: str) -> Table | None:
    """The provenance that `encode_netcdf` wrote; None if there is none."""
    found = json.loads(_opened(data, label).attrs.get(PROVENANCE, "null"))
    return found if isinstance(found, dict) else None


def _opened(data: bytes, label: str) -> xarray.Dataset:
    """A data set in memory, whose values stay as they are stored."""
    library = _xarray(label)
    engine = "scipy" if data.startswith(_CLASSIC) else "h5netcdf"
    how = {"mask_and_scale": False, "decode_times": False, "decode_coords": "all"}
    with _quiet_finalizers():
        try:
            with library.open_dataset(io.BytesIO(data), engine=engine, **how) as dataset:
                ensure(
                    dataset.nbytes <= _MOST,
                    f"{label!r} takes {dataset.nbytes / 1e6:.0f} MB in memory, more than "
                    f"{_MOST / 1e6:.0f}",
                    f"xarray.open_dataset({label!r}).isel(...).to_netcdf('part.nc')",
                )
                loaded: xarray.Dataset = dataset.load()
                return loaded
        except CaflowError:
            raise
        except Exception as error:
            reason = reason_of(error)
        gc.collect()  # what was opened halfway
    raise CaflowError(f"xarray cannot read {label!r}: {reason}", "give a complete NetCDF file")


@contextmanager
def _quiet_finalizers() -> Iterator[None]:
    """Suppress what Python prints of errors when objects are deleted.

    Files of h5netcdf that are opened halfway raise one. The hook is process-wide, but threads read
    data sets.
    """
    with _hook_lock:
        hook = sys.unraisablehook
        sys.unraisablehook = lambda _: None
        try:
            yield
        finally:
            sys.unraisablehook = hook


def _xarray(what: str) -> Any:
    """The module xarray; CaflowError unless it, and the library that reads files, are installed."""
    try:
        import_module("h5netcdf")
        return import_module("xarray")
    except ImportError as error:
        raise CaflowError(f"{what!r} needs xarray and h5netcdf", _HINT) from error


def members_in_xarray(
    members: Array, like: Raster, seeds: Sequence[int], provenance: Table | None = None
) -> xarray.DataArray:
    """Members as an array of xarray, with the refined coordinates of the coarse field.

    Args:
        members: (M, H, W), float32 in the unit, NaN where missing.
        like: One of them, whose place, unit and nodata all have.
        seeds: Of the members, the coordinate of the first dimension.
        provenance: An attribute, in JSON.
    """
    dataset, name = _in_dataset(members, like, seeds)
    array: xarray.DataArray = dataset[name]
    if provenance is not None:
        array.attrs[PROVENANCE] = json.dumps(provenance)
    return array


def _in_dataset(stored: Array, like: Raster, seeds: Sequence[int]) -> tuple[xarray.Dataset, str]:
    """A data set of members with coordinates, bounds and attributes, and the variable's name."""
    xarray = _xarray("NetCDF")
    fine = like.place
    if fine is None:
        unit = unit_of(like).name
        fine = Coordinates(xarray.Dataset(), "field", ("y", "x"), {"units": unit} if unit else {})
    if not isinstance(fine, Coordinates):
        raise usage_error("the place of a GeoTIFF is not converted to coordinates", "-o FILE.tif")
    said = {"long_name": "member, by its seed", "standard_name": "realization", "units": "1"}
    attrs = {key: value for key, value in fine.attrs.items() if key not in ("step", "step_in")}
    numbers = np.array(seeds)
    if numbers.max() < 2**31:
        numbers = numbers.astype(np.int32)  # for programs that read NetCDF 3
    dataset = fine.dataset.assign_coords({_MEMBER: (_MEMBER, numbers, said)})
    return dataset.assign({fine.name: ((_MEMBER, *fine.dims), stored, attrs)}), fine.name


def encode_netcdf(
    members: Array, like: Raster, seeds: Sequence[int], provenance: Table | None
) -> bytes:
    """Encode members as NetCDF 4, with a dimension for them; arguments as `members_in_xarray`."""
    stored, nodata = marked(members, like.nodata)
    dataset, name = _in_dataset(stored, like, seeds)
    dataset[name].attrs["_FillValue"] = np.float32(nodata)
    dataset.attrs.setdefault("Conventions", "CF-1.8")
    if provenance is not None:
        dataset.attrs[PROVENANCE] = json.dumps(provenance)
    for coord in dataset.coords.values():
        coord.encoding["_FillValue"] = None  # coordinates have none
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "members.nc"
        encoding = {name: {"zlib": True, "complevel": 4}}
        dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding)
        return path.read_bytes()
