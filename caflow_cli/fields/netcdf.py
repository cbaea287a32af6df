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
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import CaflowError, check_usage, ensure, reason_of
from ..records import Table
from .values import KEY, Along, Array, Field, Packing, checked_values

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

        Coordinates are interpolated linearly, and so are their bounds; those of coordinates of two
        dimensions are left out.
        """
        made = {}
        bounds = {_bounds_of(coord): name for name, coord in self.dataset.coords.items()}
        for name, coord in self.dataset.variables.items():
            if _is_corners(coord, self.dims) and name in bounds:
                continue
            variable = _refined(coord, self.dims, factor, str(name), name in bounds)
            said = _bounds_of(variable)
            if said and _is_corners(self.dataset.variables.get(said, variable), self.dims):
                variable.attrs.pop("bounds", None)
                variable.encoding.pop("bounds", None)
            made[name] = variable
        import xarray

        dataset = xarray.Dataset(coords=made, attrs=self.dataset.attrs)
        return Coordinates(dataset, self.name, self.dims, self.attrs)


def _bounds_of(coord: Any) -> Any:
    """The name of the bounds of a coordinate, which xarray may have moved from its attributes."""
    return coord.attrs.get("bounds") or coord.encoding.get("bounds")


def _is_corners(coord: xarray.Variable, dims: tuple[str, str]) -> bool:
    """Whether these would be bounds of cells, with several corners each."""
    return coord.ndim > 2 and set(dims) <= set(coord.dims)


def _refined(
    coord: xarray.Variable, dims: tuple[str, str], factor: int, name: str, is_bounds: bool
) -> xarray.Variable:
    """A coordinate, or bounds, of smaller cells."""
    values = coord.values
    for axis in (axis for axis, dim in enumerate(coord.dims) if dim in dims):
        if values.dtype.kind not in "iuf":
            values = values.repeat(factor, axis)
        elif is_bounds:
            values = _divided(values, factor)
        else:
            _check_steps(values, axis, coord.attrs, name)
            values = _interpolated(values, axis, factor)
    attrs = dict(coord.attrs)
    if "GeoTransform" in attrs:  # as GDAL writes it into the variable of the grid mapping
        x, dx, rx, y, ry, dy = map(float, str(attrs["GeoTransform"]).split())
        steps = (x, dx / factor, rx / factor, y, ry / factor, dy / factor)
        attrs["GeoTransform"] = " ".join(f"{step:.17g}" for step in steps)
    import xarray

    kept = {key: coord.encoding[key] for key in ("bounds",) if key in coord.encoding}
    return xarray.Variable(coord.dims, values, attrs, kept)


def _check_steps(values: Array, axis: int, attrs: Table, name: str) -> None:
    """Raise CaflowError unless a coordinate can be interpolated."""
    steps = np.diff(values.astype(np.float64), axis=axis)
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


def _interpolated(values: Array, axis: int, factor: int) -> Array:
    """Values at the centers of smaller cells, along an axis."""
    count = values.shape[axis]
    at = (np.arange(count * factor) + 0.5) / factor - 0.5
    below = np.clip(np.floor(at).astype(int), 0, count - 2)
    weight = (at - below).reshape([-1 if k == axis else 1 for k in range(values.ndim)])
    exact = values.astype(np.float64)
    lower, upper = exact.take(below, axis), exact.take(below + 1, axis)
    result: Array = lower + weight * (upper - lower)
    return result.astype(values.dtype) if values.dtype.kind == "f" else result


def _divided(bounds: Array, factor: int) -> Array:
    """Bounds (n, 2) of cells, each divided into `factor` smaller ones."""
    lower, upper = (bounds[:, k, None].astype(np.float64) for k in (0, 1))
    edges = lower + (upper - lower) * (np.arange(factor + 1) / factor)
    return np.stack([edges[:, :-1], edges[:, 1:]], -1).reshape(-1, 2).astype(bounds.dtype)


def read_netcdf(data: bytes, label: str, nodata: float | None) -> list[Field]:
    """Read the one variable of a NetCDF file, each member as a field.

    Arguments and errors as for `read_field`.
    """
    dataset = _opened(data, label)
    raw = _opened(data, label, mask_and_scale=False)
    name = _only_variable(dataset, label)
    stored = raw[name]
    attrs = stored.attrs
    values = stored.values
    if str(attrs.get("_Unsigned", "")).lower() == "true":
        values = values.view(values.dtype.str.replace("i", "u"))
    declared = [float(attrs[key]) for key in ("_FillValue", "missing_value") if key in attrs]
    scale, offset = float(attrs.get("scale_factor", 1)), float(attrs.get("add_offset", 0))
    packing = Packing(values.dtype.name, scale, offset) if values.dtype.kind in "iu" else None
    array = dataset[name].copy(data=values)
    parts = _parts(dataset.drop_vars(dataset.data_vars), array, label)
    return [_as_field(part, nodata, declared, packing, label) for part in parts]


def field_of_xarray(array: xarray.DataArray, nodata: float | None) -> Field:
    """Make a field of an array of xarray; errors as for `field_of`."""
    label = str(array.name or "the array")
    packing = Packing(array.dtype.name) if array.dtype.kind in "iu" else None
    dataset = array.coords.to_dataset()
    parts = _parts(dataset, array, label)
    ensure(len(parts) == 1, f"{label!r} has {len(parts)} members", f".isel({_MEMBER}=0)")
    return _as_field(parts[0], nodata, [], packing, label)


def read_netcdf_provenance(data: bytes, label: str) -> Table | None:
    """The provenance that `encode_netcdf` wrote; None if there is none."""
    found = json.loads(_opened(data, label).attrs.get(KEY, "null"))
    return found if isinstance(found, dict) else None


def _opened(data: bytes, label: str, **options: Any) -> xarray.Dataset:
    """A data set in memory, whose times stay as they are stored."""
    engine = "scipy" if data.startswith(_CLASSIC) else "h5netcdf"
    library = _xarray(label, engine)
    with _quiet_finalizers():
        try:
            with library.open_dataset(
                io.BytesIO(data), engine=engine, decode_coords="all", decode_times=False, **options
            ) as dataset:
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


def _xarray(what: str, engine: str = "h5netcdf") -> Any:
    """The module xarray; CaflowError unless it, and the library that reads files, are installed."""
    if not all(find_spec(name) for name in ("xarray", engine)):
        raise CaflowError(f"{what!r} needs xarray and h5netcdf", _HINT)
    return import_module("xarray")


def _only_variable(dataset: xarray.Dataset, label: str) -> str:
    names = [
        str(name)
        for name, array in dataset.data_vars.items()
        if array.ndim > 1 and array.dtype.kind in "iuf"
    ]
    ensure(
        len(names) == 1,
        f"{label!r} has {len(names)} variables of two dimensions or more: {', '.join(names)}",
        f"xarray.open_dataset({label!r})[[{names[0] if names else ''!r}]].to_netcdf('one.nc')",
    )
    return names[0]


def _parts(
    dataset: xarray.Dataset, array: xarray.DataArray, label: str
) -> list[tuple[Coordinates, Array]]:
    """The members of an array of two dimensions or three, with what each has beside its values."""
    name = str(array.name or "field")
    array = array.squeeze([dim for dim, size in array.sizes.items() if size == 1][: array.ndim - 2])
    dims = tuple(map(str, array.dims))
    is_ensemble = len(dims) == 3 and dims[0] == _MEMBER
    if not is_ensemble and len(dims) != 2:
        sizes = ", ".join(f"{dim} {size}" for dim, size in array.sizes.items())
        first = f"{dims[0]}=0" if dims else ""
        hint = f"xarray.open_dataset({label!r}).isel({first}).to_netcdf('one.nc')"
        raise CaflowError(f"{label!r} has {len(dims)} dimensions ({sizes}), no field", hint)
    attrs = {key: value for key, value in array.attrs.items() if key not in _PACKED}
    if "grid_mapping" in array.encoding:
        attrs["grid_mapping"] = array.encoding["grid_mapping"]
    grid = Coordinates(_beside(dataset, dims), name, (dims[-2], dims[-1]), attrs)
    return [(grid, part) for part in array.values.reshape(-1, *array.shape[-2:])]


def _beside(dataset: xarray.Dataset, dims: tuple[str, ...]) -> xarray.Dataset:
    """The coordinates of one field, with these dimensions: none is named as that of members."""
    single = [dim for dim, size in dataset.sizes.items() if size == 1 and dim not in dims]
    kept = dataset.squeeze(single)
    kept = kept.drop_vars([key for key, coord in kept.coords.items() if _MEMBER in coord.dims])
    if _MEMBER not in kept.coords:
        return kept
    other = f"coarse_{_MEMBER}"  # the field is a member of an ensemble
    while other in kept.coords:
        other = f"coarse_{other}"
    return kept.rename({_MEMBER: other})


def _as_field(
    part: tuple[Coordinates, Array],
    nodata: float | None,
    declared: list[float],
    packing: Packing | None,
    label: str,
) -> Field:
    grid, stored = part
    scale, offset = (packing.scale, packing.offset) if packing else (1.0, 0.0)
    said = [*declared, *([] if nodata is None else [nodata]), math.nan]
    return Field(
        checked_values(stored, declared, nodata, label, scale, offset),
        str(grid.attrs.get("units", "")),
        float(grid.attrs.get("step", abs(packing.scale) if packing else 0)),
        "db" if grid.attrs.get("step_in") == "db" else "linear",
        grid,
        said[0],
        packing,
    )


def members_in_xarray(
    members: Array, like: Field, factor: int, along: Along, provenance: Table | None = None
) -> xarray.DataArray:
    """Members as an array of xarray, with the refined coordinates of the coarse field.

    Args:
        members: (M, H, W), float32 in the unit, NaN where missing.
        like: The coarse field.
        factor: How many times finer the members are.
        along: The name of the first dimension, and its coordinate.
        provenance: An attribute, in JSON.
    """
    array, _ = _in_xarray(members, like, factor, along)
    if provenance is not None:
        array.attrs[KEY] = json.dumps(provenance)
    return array


def _in_xarray(
    members: Array, like: Field, factor: int, along: Along
) -> tuple[xarray.DataArray, xarray.Dataset]:
    """Members as an array, and the data set of coordinates, bounds and attributes."""
    xarray = _xarray("NetCDF")
    name, labels = along
    grid = like.grid
    if grid is None:
        attrs = {"units": like.unit} if like.unit else {}
        grid = Coordinates(xarray.Dataset(), "field", ("y", "x"), attrs)
    check_usage(
        isinstance(grid, Coordinates),
        "the place of a GeoTIFF is not converted to coordinates",
        "-o FILE.tif",
    )
    assert isinstance(grid, Coordinates)
    fine = grid.refined(factor)
    said = {"long_name": f"{name}, by its seed", "standard_name": "realization", "units": "1"}
    coordinate = (name, np.array(labels), said if name == _MEMBER else {"units": "1"})
    dataset = fine.dataset.assign_coords({name: coordinate})
    attrs = {key: value for key, value in fine.attrs.items() if key not in ("step", "step_in")}
    array = xarray.DataArray(members, dims=(name, *fine.dims), name=fine.name, attrs=attrs)
    own = {key: c for key, c in dataset.coords.items() if set(c.dims) <= set(array.dims)}
    return array.assign_coords(own), dataset


def encode_netcdf(
    members: Array, like: Field, factor: int, along: Along, provenance: Table | None
) -> bytes:
    """Encode members as NetCDF 4, with a dimension for them; arguments as `members_in_xarray`."""
    array, dataset = _in_xarray(members, like, factor, along)
    stored, nodata = like.packed(members)
    array = array.copy(data=stored)
    array.attrs["_FillValue"] = stored.dtype.type(nodata)
    if stored.dtype.kind in "iu" and like.packing is not None:
        array.attrs |= {"scale_factor": like.packing.scale, "add_offset": like.packing.offset}
    dataset = dataset.assign({array.name: array})
    dataset.attrs.setdefault("Conventions", "CF-1.8")
    if provenance is not None:
        dataset.attrs[KEY] = json.dumps(provenance)
    for coord in dataset.coords.values():
        coord.encoding["_FillValue"] = None  # coordinates have none
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "members.nc"
        encoding = {array.name: {"zlib": True, "complevel": 4}}
        dataset.to_netcdf(path, engine="h5netcdf", encoding=encoding)
        return path.read_bytes()
