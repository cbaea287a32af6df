"""NetCDF and xarray: coordinates are refined, attributes kept, members a dimension."""

import io
import math
import subprocess
import sys

import numpy as np
import pytest
import xarray
from small_fields import in_xarray, write_members

from caflow_cli import CaflowError
from caflow_cli.fields import (
    as_field,
    read_field,
    read_members,
    read_provenance,
)

COARSE = np.array([[0, 0.5, 2], [4, 0, 1.25]], np.float32)
LAT = ("lat", [51.0, 50.75], {"units": "degrees_north", "standard_name": "latitude"})
LON = ("lon", np.array([10, 10.25, 10.5], np.float32), {"units": "degrees_east"})
ATTRS = {"units": "mm/h", "long_name": "rain rate", "cell_methods": "area: mean"}


def rain(values=COARSE, **coords):
    coords = {"lat": LAT, "lon": LON, **coords}
    return xarray.DataArray(values, coords, ("lat", "lon"), "rain", ATTRS)


def saved(path, data, engine="h5netcdf", **options):
    data.to_netcdf(path, engine=engine, **options)
    return path


def ensemble(field, factor=2, count=3):
    fine = field.image.values[..., 0].repeat(factor, 0).repeat(factor, 1)
    return np.stack([fine * np.float32(k) for k in range(1, count + 1)])


def written(tmp_path, field, factor=2):
    path = tmp_path / "members.nc"
    members = ensemble(field, factor)
    write_members(path, members, field, [7, 8, 9], {})
    assert read_provenance(path) == {"seeds": [7, 8, 9]}
    assert np.array_equal(
        [f.image.values[..., 0] for f in read_members(path, nodata=math.nan)], members, True
    )
    return xarray.load_dataset(path, engine="h5netcdf", decode_coords="all")


@pytest.mark.parametrize("engine", ["h5netcdf", "scipy", "netcdf4"])
def test_members_have_a_dimension_refined_coordinates_and_the_attributes(tmp_path, engine):
    if engine == "netcdf4":
        pytest.importorskip("netCDF4")
    time = ((), np.datetime64("2026-12-02T09:00", "ns"))
    data = rain(time=time).to_dataset().assign_attrs(title="a storm", Conventions="CF-1.11")
    field = read_field(saved(tmp_path / "a.nc", data, engine))
    assert np.array_equal(field.image.values[..., 0], COARSE)
    assert field.image.unit.name == "mm/h"
    found = written(tmp_path, field)
    assert found.rain.dims == ("member", "lat", "lon")
    assert found.rain.attrs == ATTRS
    assert found.attrs["title"] == "a storm"
    assert found.attrs["Conventions"] == "CF-1.11"
    assert found.member.values.tolist() == [7, 8, 9]
    assert found.member.attrs["standard_name"] == "realization"
    assert found.lat.values.tolist() == [51.0625, 50.9375, 50.8125, 50.6875]
    assert found.lon.dtype == np.float32
    assert found.lat.attrs == LAT[2]
    assert found.time == time[1]
    averaged = found.coarsen(lat=2, lon=2).mean()
    np.testing.assert_allclose(averaged.lat, data.lat, rtol=0, atol=1e-12)
    np.testing.assert_allclose(averaged.lon, data.lon, rtol=0, atol=1e-6)


def test_bounds_and_the_transform_of_a_grid_mapping_are_refined(tmp_path):
    data = rain().to_dataset()
    data["lat_bnds"] = (("lat", "bnds"), [[51.125, 50.875], [50.875, 50.625]])
    data.lat.attrs["bounds"] = "lat_bnds"
    data["crs"] = ((), 0, {"grid_mapping_name": "latitude_longitude"})
    data.crs.attrs["GeoTransform"] = "9.875 0.25 0 51.125 0 -0.25"
    data.rain.attrs["grid_mapping"] = "crs"
    found = written(tmp_path, read_field(saved(tmp_path / "a.nc", data)))
    edges = np.array([51.125, 51, 50.875, 50.75, 50.625])
    assert np.array_equal(found.lat_bnds, np.stack([edges[:-1], edges[1:]], 1))
    assert found.crs.attrs["GeoTransform"] == "9.875 0.125 0 51.125 0 -0.125"
    assert found.crs.attrs["grid_mapping_name"] == "latitude_longitude"
    assert found.rain.encoding["grid_mapping"] == "crs"
    assert found.lat.encoding["bounds"] == "lat_bnds"


def test_coordinates_of_two_dimensions_and_irregular_ones():
    lat = 50 + np.add.outer([0, 0.2], [0.0, 0.1, 0.3])
    array = rain(
        north=(("lat", "lon"), lat, {"units": "degrees_north"}),
        lat=("lat", [1.0, 4]),
        lon=[1, 2, 4],
    ).assign_coords(site=("lon", ["a", "b", "c"]))
    field = as_field(array)
    fine = in_xarray(ensemble(field), field, [0, 1, 2])
    assert fine.lat.values.tolist() == [0.25, 1.75, 3.25, 4.75]
    assert fine.lon.values.tolist() == [0.75, 1.25, 1.75, 2.5, 3.5, 4.5]
    assert fine.north.dims == ("lat", "lon")
    np.testing.assert_allclose(fine.north[:, 1], [49.975, 50.075, 50.175, 50.275])
    assert fine.site.values.tolist() == ["a", "a", "b", "b", "c", "c"]


def test_packed_integers_are_unpacked_and_floats_written(tmp_path):
    values = np.array([[0, 0.5, 2], [4, np.nan, 1.25]], np.float32)
    how = {"dtype": "int16", "scale_factor": 0.25, "add_offset": 1.0, "_FillValue": -9}
    path = saved(tmp_path / "a.nc", rain(values), encoding={"rain": how})
    field = read_field(path)
    assert field.image.declared == (-1.25,)
    assert read_field(path, nodata=-9).image.declared == ()
    decoded = as_field(xarray.load_dataset(path, engine="h5netcdf").rain)
    assert np.array_equal(decoded.image.values, field.image.values, equal_nan=True)
    assert np.array_equal(field.image.values[..., 0], values, equal_nan=True)
    assert field.image.unit.step == 0.25
    found = written(tmp_path, field)
    assert found.rain.encoding["dtype"] == np.float32
    assert np.isnan(found.rain.encoding["_FillValue"])
    assert not {"scale_factor", "add_offset"} & {*found.rain.encoding}
    assert np.array_equal(found.rain[0], values.repeat(2, 0).repeat(2, 1), equal_nan=True)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_arrays_that_xarray_has_not_decoded_are_those_of_the_file(tmp_path, dtype):
    values = np.array([[0, 0.5, 2], [4, np.nan, 1.25]], np.float32)
    stored = np.nan_to_num((values - 1) / np.float32(0.25), nan=-9).astype(dtype)
    how = {"scale_factor": 0.25, "add_offset": 1.0, "_FillValue": np.dtype(dtype).type(-9)}
    array = rain(stored).assign_attrs(how)
    for field in (
        as_field(array, nodata=-9),
        read_field(saved(tmp_path / "a.nc", array), nodata=-9),
    ):
        assert np.array_equal(field.image.values[..., 0], values, equal_nan=True)
        assert field.image.place.attrs == ATTRS


def test_corners_of_cells_are_left_out_and_whole_bounds_divided(tmp_path):
    lat = np.add.outer([0.0, 2], [0, 1, 2])
    corners = np.stack([lat - 1, lat + 1, lat + 1, lat - 1], -1)
    data = rain(lat=("lat", [2, 6], {"bounds": "lat_bnds"})).to_dataset()
    data["north"] = (("lat", "lon"), lat, {"bounds": "corners"})
    data["corners"] = (("lat", "lon", "corner"), corners)
    data["lat_bnds"] = (("lat", "bnds"), [[0, 4], [4, 8]])
    data.rain.attrs["coordinates"] = "north"
    found = written(tmp_path, read_field(saved(tmp_path / "a.nc", data)), 8)
    assert "corners" not in found.variables
    assert "bounds" not in {**found.north.attrs, **found.north.encoding}
    assert found.north[0, :2].values.tolist() == [-1.3125, -1.1875]
    assert found.lat_bnds[:3].values.tolist() == [[0, 0.5], [0.5, 1], [1, 1.5]]


def test_steps_of_the_data_are_attributes(tmp_path):
    array = rain().assign_attrs(step=0.5, step_in="db")
    field = read_field(saved(tmp_path / "a.nc", array))
    assert (field.image.unit.step, field.image.unit.step_in) == (0.5, "db")
    assert "step" not in written(tmp_path, field).rain.attrs


def test_a_data_array_becomes_a_field_and_members_a_data_array():
    array = rain().expand_dims(time=[3]).assign_coords(member=4)
    field = as_field(array)
    assert np.array_equal(field.image.values[..., 0], COARSE)
    fine = in_xarray(ensemble(field), field, [0, 1, 2], {"seed": 0})
    assert fine.dims == ("member", "lat", "lon")
    assert fine.coords["time"] == 3
    assert fine.coords["coarse_member"] == 4
    assert fine.attrs == {**ATTRS, "caflow": '{"seed": 0}'}
    assert as_field(fine[1]).image.size == (4, 6)
    plain = as_field(COARSE, unit="K")
    assert in_xarray(ensemble(plain), plain, [0, 1, 2]).units == "K"


HOLES = np.where(COARSE == 4, np.nan, COARSE)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (rain().expand_dims(time=3), r"'rain' has 3 dimensions \(time 3, lat 2, lon 3\), no field"),
        (rain()[0], "dimensions"),
        (rain()[:0], "no values"),
        (rain(HOLES), r"has 1 missing values \(nan\), the first at row 1, column 0"),
    ],
)
def test_arrays_that_are_no_field_are_refused(array, message):
    with pytest.raises(CaflowError, match=message):
        as_field(array)


@pytest.mark.parametrize(
    ("coords", "message"),
    [
        ({"lat": [2.0, 2.0]}, "coordinate 'lat' is not monotonic"),
        ({"lon": ("lon", [359.5, 359.9, 0.3], LON[2])}, "not monotonic"),
        (
            {"east": (("lat", "lon"), [[179.9, -179.9, -179.7]] * 2, LON[2])},
            "coordinate 'east' jumps by 360 degrees",
        ),
    ],
)
def test_coordinates_that_cannot_be_refined_are_refused(tmp_path, coords, message):
    field = as_field(rain(**coords))
    with pytest.raises(CaflowError, match=message):
        write_members(tmp_path / "m.nc", ensemble(field), field)
    assert list(tmp_path.iterdir()) == []


def test_files_without_one_variable_or_damaged_are_refused(tmp_path):
    with pytest.raises(CaflowError, match="has 0 variables of two dimensions or more"):
        read_field(saved(tmp_path / "none.nc", rain().to_dataset().drop_vars("rain")))
    data = saved(tmp_path / "a.nc", rain()).read_bytes()
    with pytest.raises(CaflowError, match="xarray cannot read 'x'"):
        read_field(io.BytesIO(data[:2000]), name="x")


def test_of_several_variables_one_is_named_or_the_only_one_in_a_unit(tmp_path):
    heat = xarray.DataArray(np.ones((5, 3)), dims=("level", "lon"), attrs={"units": "K"})
    several = rain().to_dataset().assign(heat=heat, snow=rain() + 1)
    several["level"] = np.arange(5.0)
    path = saved(tmp_path / "several.nc", several)
    with pytest.raises(CaflowError) as error:
        read_field(path)
    named = "rain (mm/h), heat (K), snow (mm/h)"
    assert error.value.message.endswith(f"has 3 variables of two dimensions or more: {named}")
    assert error.value.hint == "--variable rain or heat or snow"
    for units in (["mm h-1"], ["kg"]):  # in which there are two, and none
        with pytest.raises(CaflowError, match="has 3 variables"):
            read_field(path, units=units)
    assert (read_field(path, units=["m", "K"]).image.values == 1).all()
    snow = read_field(path, variable="snow")
    assert np.array_equal(snow.image.values[..., 0], COARSE + 1)
    assert "level" not in snow.image.place.dataset.variables
    with pytest.raises(CaflowError, match=r"has no variable 'hail', but rain \(mm/h\), heat"):
        read_field(path, variable="hail")
    with pytest.raises(CaflowError, match="is no NetCDF file, and has no variable 'snow'"):
        read_field(io.BytesIO(b"\x93NUMPY"), variable="snow")


def test_members_are_numbered_in_32_bits_unless_seeds_need_more():
    field = as_field(rain())
    for seeds, kind in (([7, 2**31 - 1], "i4"), ([7, 2**31], "i8")):
        found = in_xarray(ensemble(field, count=2), field, seeds)
        assert found.member.dtype == kind
        assert found.member.values.tolist() == seeds


def test_a_place_is_not_converted_to_another_format(tmp_path):
    field = as_field(rain())
    with pytest.raises(CaflowError, match="NetCDF file is not converted to tiff") as error:
        write_members(tmp_path / "m.tif", ensemble(field), field)
    assert error.value.hint == "-o FILE.nc, or --format netcdf"


WITHOUT = """
import sys
sys.modules["xarray"] = sys.modules["h5netcdf"] = None
from importlib import util
found = util.find_spec
util.find_spec = lambda name: None if name in ("xarray", "h5netcdf") else found(name)
from caflow_cli.fields import read_field
read_field(sys.argv[1])
"""


def test_without_xarray_the_extra_is_named(tmp_path):
    path = saved(tmp_path / "a.nc", rain())
    call = [sys.executable, "-c", WITHOUT, path]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=120)
    assert "needs xarray and h5netcdf" in done.stderr
    assert 'pip install -e ".[fields]"' in done.stderr
