"""GeoTIFF: placed by its tags, written with one band a member, and read by GDAL."""

import io
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC
from rasterio.transform import Affine
from small_fields import write_members

from caflow_cli import CaflowError
from caflow_cli.fields import read_field, read_members, read_provenance

COARSE = np.array([[0, 0.5, 2], [4, 0, 1.25]], np.float32)
UTM = {"crs": "EPSG:32633", "transform": Affine(1000, 0, 500000, 0, -1000, 5000000)}


def geotiff(path, values=COARSE, scale=1.0, offset=0.0, unit="", **options):
    height, width = values.shape
    profile = {"driver": "GTiff", "count": 1, "dtype": values.dtype.name, "compress": "deflate"}
    sides = {"height": height, "width": width}
    with rasterio.open(path, "w", **{**profile, **sides, **UTM, **options}) as file:
        file.write(values, 1)
        if (scale, offset) != (1, 0):
            file.scales = (scale,)
            file.offsets = (offset,)
        if unit:
            file.units = (unit,)
    return path


def ensemble(field, factor=2, count=3):
    """Members whose cells are those of the field, times 1, 1 and so on."""
    fine = field.image.values[..., 0].repeat(factor, 0).repeat(factor, 1)
    return np.stack([fine * np.float32(k) for k in range(1, count + 1)])


@pytest.mark.parametrize("point", [False, True])
@pytest.mark.parametrize("matrix", [False, True])
def test_members_lie_where_the_coarse_field_lies(tmp_path, point, matrix):
    path = geotiff(tmp_path / "coarse.tif", unit="mm/h")
    if point or matrix:  # the same place, stated in another way
        with tifffile.TiffFile(path) as file:
            tags = {tag.code: tag.value for tag in file.pages.first.tags}
        keys = list(tags[34735])
        x, y = (500500.0, 4999500.0) if point else (500000.0, 5000000.0)
        place = [(33550, 12, 3, (1000.0, 1000.0, 0.0)), (33922, 12, 6, (0, 0, 0, x, y, 0))]
        if matrix:
            rows = (1000, 0, 0, x, 0, -1000, 0, y, 0, 0, 0, 0, 0, 0, 0, 1)
            place = [(34264, 12, 16, rows)]
        if point:
            keys[keys.index(1025) + 3] = 2
        place += [(34735, 3, len(keys), keys), (34737, 2, 0, tags[34737])]
        tifffile.imwrite(path, COARSE, extratags=[(*tag, True) for tag in place])
    with rasterio.open(path) as file:
        bounds, crs = file.bounds, file.crs
    field = read_field(path)
    members = ensemble(field)
    write_members(tmp_path / "members.tif", members, field, [7, 8, 9])
    with rasterio.open(tmp_path / "members.tif") as file:
        assert file.bounds == bounds
        assert file.crs == crs
        assert file.transform == Affine(500, 0, 500000, 0, -500, 5000000)
        assert file.tags()["AREA_OR_POINT"] == ("Point" if point else "Area")
        assert np.array_equal(file.read(), members)
        assert file.descriptions == ("member 7", "member 8", "member 9")
        assert file.dtypes == ("float32",) * 3
        assert file.nodata is None
        assert file.compression.name == "deflate"
        if not (point or matrix):
            assert file.units == ("mm/h",) * 3


def test_a_place_within_the_image_is_that_of_its_corner(tmp_path):
    place = [(33550, 12, 3, (2.0, 4.0, 0.0)), (33922, 12, 6, (1, 2, 0, 10, 20, 0))]
    tifffile.imwrite(tmp_path / "a.tif", COARSE, extratags=[(*tag, True) for tag in place])
    field = read_field(tmp_path / "a.tif")
    write_members(tmp_path / "b.tif", ensemble(field), field)
    with rasterio.open(tmp_path / "a.tif") as coarse, rasterio.open(tmp_path / "b.tif") as fine:
        assert fine.bounds == coarse.bounds


def test_scale_and_offset_of_integers_are_applied_and_floats_written(tmp_path):
    stored = np.array([[0, 3], [250, -7]], np.int16)
    path = geotiff(tmp_path / "k.tif", stored, 0.25, 273, "K", nodata=-7)
    field = read_field(path, nodata=-7)
    assert np.array_equal(
        field.image.values[..., 0], [[273, 273.75], [335.5, math.nan]], equal_nan=True
    )
    assert (field.image.unit.name, field.image.unit.step, field.image.unit.step_in) == (
        "K",
        0.25,
        "linear",
    )
    members = ensemble(field, count=1)
    write_members(tmp_path / "m.tif", members, field)
    with rasterio.open(tmp_path / "m.tif") as file:
        assert file.dtypes == ("float32",)
        assert (file.scales, file.offsets, file.units) == ((1,), (0,), ("K",))
        assert math.isnan(file.nodata)
    back = read_field(tmp_path / "m.tif", nodata=math.nan)
    assert np.array_equal(back.image.values[..., 0], members[0], equal_nan=True)
    assert back.image.unit.step == 0


def test_missing_values_are_written_back_and_stay_apart_from_dry_ones(tmp_path):
    values = COARSE.copy()
    values[1, 2] = -9999
    field = read_field(geotiff(tmp_path / "a.tif", values, nodata=-9999))
    write_members(tmp_path / "m.tif", ensemble(field), field)
    with rasterio.open(tmp_path / "m.tif") as file:
        assert file.nodata == -9999
        assert (file.read(1) == -9999).sum() == 4
        assert (file.read(1) == 0).sum() == 8
    # It stays declared, also if no cell is missing.
    whole = read_field(geotiff(tmp_path / "w.tif", nodata=-9999))
    write_members(tmp_path / "w2.tif", ensemble(whole), whole)
    with rasterio.open(tmp_path / "w2.tif") as file:
        assert file.nodata == -9999
    # A value that occurs is not used for missing ones.
    other = read_field(geotiff(tmp_path / "b.tif", values, nodata=-9999), nodata=-9999)
    members = ensemble(other)
    members[0, 0, 0] = -9999
    write_members(tmp_path / "n.tif", members, other)
    with rasterio.open(tmp_path / "n.tif") as file:
        assert math.isnan(file.nodata)
        assert np.isnan(file.read(1)).sum() == 4


@pytest.mark.parametrize("text", ["-3.40282346638529e+38", "-3.4028234663852886e+38"])
def test_the_least_float32_as_nodata(tmp_path, text):
    values = COARSE.copy()
    values[0, 0] = np.finfo(np.float32).min
    tifffile.imwrite(tmp_path / "a.tif", values, extratags=[(42113, 2, 0, text, True)])
    field = read_field(tmp_path / "a.tif", nodata=float(text))
    assert np.isnan(field.image.values[..., 0]).sum() == 1
    write_members(tmp_path / "m.tif", ensemble(field), field)
    with rasterio.open(tmp_path / "m.tif") as file:
        assert file.read_masks(1).sum() == 255 * 20


ONES = [1.0] * 20
NUMBERS = dict.fromkeys(("height_off", "height_scale", "lat_off", "lat_scale"), 1.0)
NUMBERS |= dict.fromkeys(("line_off", "line_scale", "long_off", "long_scale"), 1.0)
NUMBERS |= dict.fromkeys(("samp_off", "samp_scale", "err_bias", "err_rand"), 1.0)
COEFFICIENTS = {
    f"{side}_{part}_coeff": ONES for side in ("line", "samp") for part in ("num", "den")
}


def test_rational_polynomials_are_refused_by_name(tmp_path):
    rpcs = RPC(**NUMBERS, **COEFFICIENTS)
    path = geotiff(tmp_path / "a.tif", transform=None, crs=None, rpcs=rpcs)
    with pytest.raises(CaflowError, match=r"by rational polynomials \(RPC\)") as error:
        read_field(path)
    assert error.value.hint == f"gdalwarp {path} upright.tif"


@pytest.mark.parametrize("point", [False, True])
@pytest.mark.parametrize(
    "transform",
    [Affine(10, 1, 5, 2, -10, 7), Affine(10, 0, 0, 0, 10, 0), Affine(-10, 0, 0, 0, -10, 0)],
)
def test_rotated_and_mirrored_fields_lie_where_they_lay(tmp_path, transform, point):
    path = geotiff(tmp_path / "a.tif", transform=transform)
    with rasterio.open(path, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point" if point else "Area")
    field = read_field(path)
    write_members(tmp_path / "m.tif", ensemble(field, 4), field)
    with rasterio.open(tmp_path / "m.tif") as file:
        assert file.tags()["AREA_OR_POINT"] == ("Point" if point else "Area")
        found = file.transform
    assert tuple(found) == pytest.approx(tuple(transform @ Affine.scale(0.25)), abs=1e-12)


@pytest.mark.parametrize("tag", [(33550, 12, 1, 2.0), (33922, 12, 3, (0, 0, 1)), (34264, 12, 1, 5)])
def test_tags_of_another_length_are_damaged(tmp_path, tag):
    tie = (33922, 12, 6, (0, 0, 0, 10, 20, 0))
    tags = [tag] if tag[0] == tie[0] else [tag, tie]
    tifffile.imwrite(tmp_path / "a.tif", COARSE, extratags=[(*each, True) for each in tags])
    with pytest.raises(CaflowError, match="damaged"):
        read_field(tmp_path / "a.tif")


@pytest.mark.parametrize("point", [False, True])
def test_control_points_stay_at_their_places(tmp_path, point):
    points = [GroundControlPoint(*at) for at in ((0, 0, 1, 2), (2, 0, 1, 4), (0, 3, 5, 2))]
    path = geotiff(tmp_path / "a.tif", transform=None, gcps=points)
    with rasterio.open(path, "r+") as file:
        file.update_tags(AREA_OR_POINT="Point" if point else "Area")
    field = read_field(path)
    write_members(tmp_path / "m.tif", ensemble(field), field)
    with rasterio.open(path) as coarse, rasterio.open(tmp_path / "m.tif") as fine:
        (before, crs), (after, kept) = coarse.gcps, fine.gcps
    assert kept == crs
    assert [(p.row, p.col, p.x, p.y) for p in after] == [
        (2 * p.row, 2 * p.col, p.x, p.y) for p in before
    ]


def test_overviews_are_ignored_and_masks_refused(tmp_path):
    values = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    path = geotiff(tmp_path / "a.tif", values, tiled=True, blockxsize=16, blockysize=16)
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4])
    assert np.array_equal(read_field(path).image.values[..., 0], values)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as file:
        file.write_mask(values > 7)
    with pytest.raises(CaflowError, match="has a mask of its own"):
        read_field(path)


def test_provenance_and_members_are_read_back(tmp_path):
    field = read_field(geotiff(tmp_path / "a.tif", unit="mm/h"))
    members = ensemble(field)
    path = tmp_path / "m.tif"
    write_members(path, members, field, provenance={"µ": "é"})
    assert read_provenance(path) == {"µ": "é", "seeds": [0, 1, 2]}
    assert read_provenance(tmp_path / "a.tif") is None
    back = read_members(path)
    assert np.array_equal([member.image.values[..., 0] for member in back], members)
    assert {member.image.unit.name for member in back} == {"mm/h"}
    with pytest.raises(CaflowError, match="has 3 bands") as error:
        read_field(path)
    assert error.value.hint == f"gdal_translate -b 1 {path} band.tif"


WITHOUT = """
import sys
sys.modules["imagecodecs"] = None
import numpy as np
from pathlib import Path
from caflow_cli.fields import *
field = read_field(sys.argv[1])
data = FieldEncoder("tiff").encode(np.stack([field.image.values[..., 0]] * 2), field.image, [0, 1])
Path(sys.argv[2]).write_bytes(data)
print(np.array_equal(read_members(sys.argv[2])[1].image.values, field.image.values))
"""


@pytest.mark.parametrize(
    ("options", "output"),
    [
        ({"compress": "deflate"}, "True"),
        ({"compress": "none"}, "True"),
        ({"compress": "lzw"}, "needs imagecodecs"),
        ({"compress": "deflate", "predictor": 3}, "needs imagecodecs"),
    ],
)
def test_deflate_needs_no_imagecodecs(tmp_path, options, output):
    path = geotiff(tmp_path / "a.tif", **options)
    call = [sys.executable, "-c", WITHOUT, path, tmp_path / "m.tif"]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=120)
    assert output in done.stdout + done.stderr


def test_npy_holds_members_but_no_place(tmp_path):
    field = read_field(geotiff(tmp_path / "a.tif"))
    members = ensemble(field)
    write_members(tmp_path / "m.npy", members, field)
    assert np.array_equal(np.load(tmp_path / "m.npy"), members)
    with pytest.raises(CaflowError, match="fields are not written as"):
        write_members(tmp_path / "m.png", members, field)
    assert not (tmp_path / "m.png").exists()


def test_text_beside_ascii(tmp_path):
    field = read_field(geotiff(tmp_path / "a.tif", unit="µg/m³ <5"))
    write_members(tmp_path / "m.tif", ensemble(field), field)
    with rasterio.open(tmp_path / "m.tif") as file:
        assert file.units[0] == "µg/m³ <5"
    description = tifffile.TiffFile(tmp_path / "m.tif").pages.first.description
    assert json.loads(description)["unit"] == "µg/m³ <5"
    assert read_field(io.BytesIO((tmp_path / "a.tif").read_bytes())).image.unit.name == "µg/m³ <5"
    assert Path(tmp_path / "m.tif").stat().st_size < 3000
