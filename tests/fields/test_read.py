"""Fields are read from TIFF, `.npy` and arrays, with unit, step and what is missing."""

import io
import json
import math

import numpy as np
import pytest
import tifffile

from caflow_cli import CaflowError
from caflow_cli.fields import as_field, read_field

RAIN = np.array([[0, 0.1, 2.5], [7, 0, 0.3]], np.float32)


def tiff(values, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return io.BytesIO(buffer.getvalue())


def test_a_tiff_of_floats_has_the_unit_and_step_of_its_description(tmp_path):
    description = json.dumps({"unit": "mm/h", "step": 0.5, "in": "db"})
    path = tmp_path / "rain.tif"
    tifffile.imwrite(path, RAIN, compression="zlib", description=description)
    field = read_field(path)
    assert field.image.values[..., 0].dtype == np.float32
    assert np.array_equal(field.image.values[..., 0], RAIN)
    assert (field.image.unit.name, field.image.unit.step, field.image.unit.step_in) == (
        "mm/h",
        0.5,
        "db",
    )
    assert field.image.size == (2, 3)
    assert not np.isnan(field.image.values[..., 0]).any()


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f2", "f8"])
def test_integers_and_other_floats_become_float32(dtype):
    values = np.array([[3, 0], [1, 100]], dtype)
    field = read_field(tiff(values, photometric="minisblack"))
    assert field.image.values[..., 0].dtype == np.float32
    assert np.array_equal(field.image.values[..., 0], values)
    assert (field.image.unit.name, field.image.unit.step) == (
        "",
        0 if values.dtype.kind == "f" else 1,
    )


def test_npy_and_arrays():
    buffer = io.BytesIO()
    np.save(buffer, RAIN.astype(float))
    assert np.array_equal(read_field(io.BytesIO(buffer.getvalue())).image.values[..., 0], RAIN)
    field = as_field(RAIN, unit="mm/h")
    assert np.array_equal(field.image.values[..., 0], RAIN)
    assert field.image.unit.name == "mm/h"


def with_missing(dtype, value):
    values = RAIN.astype(dtype)
    values[0, 2] = values[1, 0] = value
    return values


@pytest.mark.parametrize("tag", [None, "-9999"])
def test_missing_values_that_are_not_declared_are_refused_unless_they_are_named(tag):
    tags = [(42113, 2, 0, tag, True)] if tag else []
    with pytest.raises(CaflowError) as error:
        read_field(tiff(with_missing("f4", math.nan), extratags=tags), name="rain.tif")
    assert error.value.message == (
        "'rain.tif' has 2 missing values (nan), the first at row 0, column 2"
    )
    assert error.value.hint == "--nodata nan"
    field = read_field(tiff(with_missing("f4", math.nan), extratags=tags), nodata=math.nan).image
    assert np.isnan(field.values[..., 0]).tolist() == [[False, False, True], [True, False, False]]
    assert np.array_equal([field.nodata], [-9999 if tag else math.nan], equal_nan=True)
    assert field.declared == ()


@pytest.mark.parametrize(
    ("dtype", "value", "tag"), [("f4", -9999, "-9999"), ("f4", math.nan, "nan"), ("i2", -1, "-1\0")]
)
def test_missing_values_that_the_file_declares_are_accepted(dtype, value, tag):
    values = with_missing(dtype, value)
    stored = {"photometric": "minisblack", "extratags": [(42113, 2, 0, tag, True)]}
    field = read_field(tiff(values, **stored)).image
    assert np.isnan(field.values).sum() == 2
    assert np.array_equal(field.declared, [value], equal_nan=True)
    whole = read_field(tiff(RAIN.astype(dtype), **stored)).image
    assert whole.declared == ()
    assert whole.nodata is not None
    assert read_field(tiff(RAIN)).image.nodata is None


def test_a_value_that_the_file_does_not_declare_can_be_named_but_covers_no_other():
    values = with_missing("f4", -9999)
    field = read_field(tiff(values), nodata=-9999)
    assert np.isnan(field.image.values[..., 0]).sum() == 2
    assert field.image.nodata == -9999
    values[1, 1] = math.nan
    with pytest.raises(
        CaflowError, match=r"1 missing values \(nan\), the first at row 1, column 1"
    ):
        read_field(tiff(values), nodata=-9999)


def test_dry_is_not_missing():
    assert as_field(np.array([[0, 1.0]])).image.values[..., 0].tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (lambda: tiff(np.zeros((2, 2, 3), np.uint8), photometric="rgb"), "has 3 bands"),
        (lambda: tiff(np.zeros((3, 4, 4), np.float32), photometric="minisblack"), "has 3 pages"),
        (lambda: tiff(np.full((2, 2), np.inf, np.float32)), "has inf at row 0, column 0"),
        (lambda: tiff(np.full((2, 2), 2**24 + 1, np.int32)), "has 16777217 at row 0"),
        (lambda: tiff(np.ones((2, 2), np.complex64)), "no real numbers"),
        (lambda: io.BytesIO(tiff(np.ones((64, 64))).getvalue()[:300]), "damaged"),
        (lambda: io.BytesIO(b"no field at all"), "is no field"),
        (lambda: io.BytesIO(b"\x93NUMPY"), "damaged"),
        (lambda: io.BytesIO(b""), "is empty"),
    ],
)
def test_what_is_no_field_is_refused(file, message):
    with pytest.raises(CaflowError, match=message):
        read_field(file(), name="x")


@pytest.mark.parametrize("values", [np.ones(3), np.ones((2, 2, 2)), np.ones((0, 4))])
def test_arrays_have_two_sides(values):
    with pytest.raises(CaflowError, match="no field"):
        as_field(values)


@pytest.mark.parametrize("shape", [(0, 2, 2), (2, 0, 2), ()])
def test_a_file_of_numpy_without_values_is_no_field(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.ones(shape, np.float32))
    with pytest.raises(CaflowError, match="no field"):
        read_field(tmp_path / "a.npy")


def test_all_values_missing_is_an_error():
    with pytest.raises(CaflowError, match="every value"):
        as_field(np.full((2, 2), np.nan), nodata=math.nan)
    with pytest.raises(CaflowError, match="array of numbers"):
        as_field([["a"]])
    assert as_field([[1, 2]]).image.unit is not None


def test_zero_is_missing_if_the_user_says_so():
    found = as_field(np.array([[0, 2.5]]), nodata=0).image.values[..., 0]
    np.testing.assert_array_equal(found, [[np.nan, 2.5]])


def test_steps_have_no_sign(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    size = {"height": 2, "width": 3, "count": 1, "dtype": "int16"}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **size) as file:
        file.write(np.arange(6, dtype=np.int16).reshape(1, 2, 3))
        file.scales = (-0.5,)
    found = read_field(tmp_path / "a.tif").image
    assert found.unit.step == 0.5
    np.testing.assert_array_equal(found.values[..., 0], [[0, -0.5, -1], [-1.5, -2, -2.5]])
