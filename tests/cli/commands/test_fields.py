"""Measured fields through the command: an ensemble in a file, its scores and sheets."""

import math

import numpy as np
import pytest
import rasterio
import tifffile
import xarray
from PIL import Image
from small_fields import save_model

from caflow_cli.fields import read_field, read_members, read_provenance

from ..results import lines_of, only_record, records

COARSE = np.array([[0, 0.5, 2, 0, 1], [4, 0, 1.25, 8, 3], [0, 0, 7, 2, 1], [9, 9, 1, 0, 0]], "f4")


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A small random model of rain, as a file."""
    return save_model(tmp_path_factory.mktemp("models") / "rain.safetensors")


@pytest.fixture
def coarse(tmp_path):
    """A GeoTIFF in mm/h."""
    place = [(33550, 12, 3, (2.0, 2.0, 0.0)), (33922, 12, 6, (0, 0, 0, 10, 50, 0))]
    tags = [(*tag, True) for tag in place]
    path = tmp_path / "coarse.tif"
    tifffile.imwrite(path, COARSE, description='{"unit": "mm/h"}', extratags=tags)
    return path


def netcdf(path, values=COARSE, unit="mm h-1"):
    path.parent.mkdir(exist_ok=True)
    coords = {"y": np.arange(4.0), "x": np.arange(5.0)}
    array = xarray.DataArray(values, coords, ("y", "x"), "rain", {"units": unit})
    array.to_netcdf(path, engine="h5netcdf")
    return path


def means(values):
    return values.astype(np.float64).reshape(*values.shape[:-2], 4, 4, 5, 4).mean((-3, -1))


def test_a_failure_in_a_batch_states_the_exit_code_that_it_has_alone(run, coarse, model):
    wrong = ["superres", netcdf(coarse.with_suffix(".nc"), unit="K"), "-o", "drawn/", "--json"]
    assert run(*wrong).returncode == 2
    batch = run(*wrong, coarse, "-m", 2)
    assert batch.returncode == 1
    first, second = lines_of(batch)
    assert first["error"]["code"] == 2
    assert second["status"] == "ok"


def test_an_ensemble_is_one_file_with_a_band_a_member_whose_scores_are_repeated(
    run, tmp_path, coarse, model
):
    drawn = run("superres", coarse, "-m", 3, "-o", "members.tif", "--model", model, "--json")
    record = only_record(drawn)
    assert record["outputs"] == [{"path": "members.tif", "members": [0, 1, 2]}]
    assert record["params"]["tau"] == [1]
    with rasterio.open(tmp_path / "members.tif") as file:
        values = file.read()
        assert file.descriptions == ("member 0", "member 1", "member 2")
        assert file.units == ("mm/h",) * 3
        assert file.bounds == rasterio.open(coarse).bounds
    assert values.shape == (3, 16, 20)
    assert (np.abs(means(values) - COARSE) <= 2.0**-22 * COARSE).all()
    scored = lines_of(
        run("score", "--cond", coarse, "--target", "members.tif", "--model", model, "--json")
    )
    for line, member, field in zip(scored, record["candidates"], values, strict=True):
        for key in ("log_likelihood", "seed", "unit", "wet", "dry"):
            assert line[key] == member[key]
        assert line["wet"] == (field > 0).sum()
        assert line["wet"] + line["dry"] == field.size
    text = run("score", "--cond", coarse, "--target", "members.tif", "--model", model)
    first = text.stdout.decode().splitlines()[0]
    assert first == f"{scored[0]['log_likelihood']:.4f}\t-\tmembers.tif member 0, seed 0"
    assert b"do not compare" in text.stderr


def test_netcdf_has_a_dimension_of_members_and_a_seed_repeats_one(run, tmp_path, model):
    netcdf(tmp_path / "a.nc")
    done = run("superres", "a.nc", "-m", 3, "--seed", 5, "--model", model, "--format", "nc")
    assert done.stdout == b"a_superres.nc\n"
    found = xarray.load_dataset(tmp_path / "a_superres.nc", engine="h5netcdf")
    assert found.rain.dims == ("member", "y", "x")
    assert found.member.values.tolist() == [5, 6, 7]
    assert found.member.standard_name == "realization"
    run("superres", "a.nc", "-m", 1, "--seed", 6, "--model", model, "-o", "one.nc")
    alone = xarray.load_dataset(tmp_path / "one.nc", engine="h5netcdf")
    np.testing.assert_allclose(alone.rain[0], found.rain[1], rtol=1e-4)
    assert read_provenance(tmp_path / "one.nc")["seeds"] == [6]


def test_inputs_of_a_folder_have_seeds_of_their_own_which_repeat_each(run, tmp_path, model):
    for name in "abc":
        netcdf(tmp_path / "in" / f"{name}.nc")
    options = ("-m", 2, "--model", model, "--json")
    lines = lines_of(run("superres", "in", "--seed", 5, "-o", "out/", *options))
    firsts = [5 + 1_000_003 * t for t in range(3)]
    assert [line["outputs"][0]["members"] for line in lines] == [[s, s + 1] for s in firsts]
    assert [line["params"]["seed"] for line in lines] == firsts
    a, c = (xarray.load_dataset(tmp_path / "out" / f"{n}_superres.nc").rain for n in "ac")
    assert np.abs(a.values - c.values).max() > 0.1
    assert c.member.dtype == np.int32
    alone = ("in/c.nc", "-m", 1, "--model", model, "--seed", firsts[2] + 1, "-o", "one.nc")
    run("superres", *alone)
    again = xarray.load_dataset(tmp_path / "one.nc").rain
    np.testing.assert_allclose(again.sel(member=firsts[2] + 1), c[1], rtol=1e-4)
    shared = lines_of(run("superres", "in", "--seed", 5, "--shard", "3/3", "-o", "3/", *options))
    assert [line["params"]["seed"] for line in shared] == firsts[2:]


def test_images_of_a_folder_share_their_seeds(run, tmp_path):
    for name in "ab":
        Image.fromarray(np.full((4, 5, 3), 90, np.uint8)).save(tmp_path / f"{name}.png")
    lines = lines_of(run("superres", "a.png", "b.png", "--seed", 5, "--json"))
    assert [line["params"]["seed"] for line in lines] == [5, 5]


def test_a_variable_is_named_or_is_the_one_in_the_models_unit(run, tmp_path, model):
    data = xarray.load_dataset(netcdf(tmp_path / "a.nc"))
    heat = data.rain.copy(data=COARSE + 9).assign_attrs(units="K")
    data.assign(heat=heat, snow=data.rain / 2).to_netcdf(tmp_path / "three.nc")
    data.assign(heat=heat).to_netcdf(tmp_path / "two.nc")
    lines_of(run("superres", "two.nc", "-m", 1, "-o", "m.nc", "--json"))  # a bundled model's
    assert xarray.load_dataset(tmp_path / "m.nc")["rain"].shape == (1, 16, 20)
    refused = run("superres", "three.nc", "-m", 1, "--model", model)
    assert b"rain (mm h-1), heat (K), snow (mm h-1)" in refused.stderr
    assert b"hint: --variable rain or heat or snow" in refused.stderr
    named = ("--variable", "snow", "--model", model)
    only_record(run("superres", "three.nc", "-m", 1, "-o", "s.nc", *named, "--json"))
    found = xarray.load_dataset(tmp_path / "s.nc")
    np.testing.assert_allclose(means(found.snow.values)[0], COARSE / 2, rtol=2**-21)
    assert [*found.data_vars] == ["snow"]
    scored = run("score", "--cond", "three.nc", "--target", "s.nc", *named, "--json")
    assert only_record(scored)["wet"] == (found.snow > 0).sum()


def test_with_n_the_likeliest_are_written(run, tmp_path, coarse, model):
    done = run("superres", coarse, "-m", 4, "-n", 2, "-o", "m.tif", "--model", model, "--json")
    record = only_record(done)
    scores = [member["log_likelihood"] for member in record["candidates"]]
    assert scores == sorted(scores, reverse=True)
    assert record["outputs"][0]["members"] == [m["seed"] for m in record["candidates"][:2]]
    assert b"do not compare" in done.stderr
    assert len(read_members(tmp_path / "m.tif")) == 2


def test_missing_values_stay_missing_and_count_as_neither_wet_nor_dry(run, tmp_path, model):
    values = COARSE.copy()
    values[0, 1] = -9
    tags = [(42113, 2, 0, "-9", True)]
    tifffile.imwrite(tmp_path / "a.tif", values, description='{"unit": "mm/h"}', extratags=tags)
    done = run("superres", "a.tif", "-m", 2, "--model", model, "--json")
    assert b"a.tif: missing values: 1, as its file declares" in done.stderr
    record = only_record(done)
    assert [m["wet"] + m["dry"] for m in record["candidates"]] == [304, 304]
    with rasterio.open(tmp_path / "a_superres.tif") as file:
        assert file.nodata == -9
        assert (file.read(1)[:4, 4:8] == -9).all()
        assert (file.read(1) == -9).sum() == 16
    for nodata in ((), ("--nodata", -9), ("--nodata", "nan")):
        options = (*nodata, "--model", model, "--json")
        scored = lines_of(run("score", "--cond", "a.tif", "--target", "a_superres.tif", *options))
        assert scored[1]["log_likelihood"] == record["candidates"][1]["log_likelihood"]
    scored = run("score", "--cond", "a.tif", "--target", "a_superres.tif", "--model", model)
    assert b"the condition: missing values: 1, as its file declares" in scored.stderr


@pytest.mark.parametrize(
    ("declared", "message", "hint"),
    [
        (None, b"'a.tif' has 1 missing values (nan), the first at row 0, column 1", b"nan"),
        ("0", b"'a.tif' has 8 missing values (0), the first at row 0, column 0", b"0"),
        (
            "8",
            b"values are missing: 2, since the file declares 8 mm/h, but",
            b"nan",
        ),
    ],
)
def test_nodata_that_may_be_a_value_must_be_named(run, tmp_path, model, declared, message, hint):
    values = COARSE.copy()
    values[0, 1] = math.nan if declared is None else float(declared)
    tags = [(42113, 2, 0, declared, True)] if declared else []
    tifffile.imwrite(tmp_path / "a.tif", values, description='{"unit": "mm/h"}', extratags=tags)
    refused = run("superres", "a.tif", "-m", 1, "--model", model)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert b"hint: --nodata " + hint in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]
    named = run("superres", "a.tif", "-m", 1, "--model", model, "--nodata", hint.decode())
    assert named.returncode == 0
    assert b"as its file declares" not in named.stderr


def test_slightly_negative_rain_is_zero_and_means_are_exact_against_that(run, tmp_path, model):
    values = COARSE.copy()
    values[0, :2] = -0.0099, -1e-9
    np.save(tmp_path / "a.npy", values)
    done = run("superres", "a.npy", "-m", 2, "--model", model)
    assert b"slightly negative values set to 0: 2" in done.stderr
    fine = np.load(tmp_path / "a_superres.npy")
    expected = np.maximum(values, 0)
    assert (np.abs(means(fine) - expected) <= 2.0**-22 * expected).all()
    values[0, 1] = -0.011
    np.save(tmp_path / "b.npy", values)
    refused = run("superres", "b.npy", "-m", 2, "--model", model)
    assert b"the field has -0.011 mm/h at row 0, column 1" in refused.stderr


@pytest.mark.parametrize("nodata", [0, 65535])
def test_members_of_integers_are_float32_in_the_unit(run, tmp_path, model, nodata):
    """Of steps of 0.1 mm/h, which the smallest wet value, float32(0.1), is not a multiple of."""
    stored = (COARSE * 10).astype(np.uint16)
    stored[0, 0] = nodata
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", height=4, width=5, count=1, dtype="uint16"
    ) as file:
        file.write(stored, 1)
        file.nodata = nodata
        file.scales = (0.1,)
        file.units = ("mm/h",)
    options = ("--nodata", nodata, "--model", model, "--json")
    record = only_record(run("superres", "a.tif", "-m", 2, *options))
    with rasterio.open(tmp_path / "a_superres.tif") as file:
        fine = file.read()
        assert file.dtypes == ("float32", "float32")
        assert (file.scales, file.offsets, file.units) == ((1, 1), (0, 0), ("mm/h",) * 2)
        assert math.isnan(file.nodata)
    expected = np.where(stored == nodata, np.nan, stored * 0.1)
    np.testing.assert_allclose(means(fine), [expected] * 2, rtol=2.0**-21)
    scored = lines_of(run("score", "--cond", "a.tif", "--target", "a_superres.tif", *options))
    assert [line["log_likelihood"] for line in scored] == [
        member["log_likelihood"] for member in record["candidates"]
    ]


@pytest.mark.parametrize("fill", [None, 65535])
def test_netcdf_of_integers_may_lack_a_fill_value(run, tmp_path, model, fill):
    how = {"dtype": "uint16", "scale_factor": 0.25, "_FillValue": fill}
    array = xarray.DataArray(COARSE, dims=("y", "x"), name="rain", attrs={"units": "mm/h"})
    array.to_netcdf(tmp_path / "a.nc", engine="h5netcdf", encoding={"rain": how})
    done = run("superres", "a.nc", "-m", 2, "--model", model)
    assert done.returncode == 0, done.stderr
    found = xarray.load_dataset(tmp_path / "a_superres.nc", engine="h5netcdf").rain
    assert (found.dtype, found.encoding.get("scale_factor")) == (np.float32, None)
    np.testing.assert_allclose(means(found.values), [COARSE] * 2, rtol=2.0**-21)


def test_sheets_show_fields_on_a_scale_in_the_unit(run, tmp_path, coarse, model):
    sheets = ("--grid", "grid.png", "--uncertainty", "spread.png")
    done = run("superres", coarse, "-m", 3, *sheets, "--model", model)
    assert done.returncode == 0
    for name in ("grid.png", "spread.png"):
        pixels = np.array(Image.open(tmp_path / name))
        assert (pixels == 255).all(2).mean() > 0.1  # dry cells, and the margin
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


def test_streams_and_plans(run, tmp_path, coarse, model):
    piped = run("superres", "-", "-m", 2, "-o", "-", "--model", model, stdin=coarse.read_bytes())
    assert piped.returncode == 0, piped.stderr
    (tmp_path / "piped.tif").write_bytes(piped.stdout)
    assert len(read_members(tmp_path / "piped.tif")) == 2
    options = ("-m", 2, "--model", model)
    planned = only_record(run("superres", coarse, *options, "--dry-run", "--json"))
    assert (planned["status"], planned["candidates"]) == ("planned", 2)
    assert not (tmp_path / "coarse_superres.tif").exists()
    assert run("superres", coarse, *options).returncode == 0
    again = run("superres", coarse, *options)
    assert again.returncode == 2
    assert b"coarse_superres.tif' exists" in again.stderr
    assert (
        only_record(run("superres", coarse, *options, "--skip-existing", "--json"))["status"]
        == "skipped"
    )


def test_sample_draws_fields_too(run, tmp_path, coarse, model):
    options = ("-m", 2, "--model", model, "--json")
    drawn = only_record(run("sample", "--cond", coarse, *options))
    assert drawn["outputs"][0]["path"] == str(tmp_path / "coarse_sample.tif")
    run("superres", coarse, *options)
    sampled = read_members(tmp_path / "coarse_sample.tif")
    refined = read_members(tmp_path / "coarse_superres.tif")
    for one, other in zip(sampled, refined, strict=True):
        assert np.array_equal(one.image.values, other.image.values)
    Image.new("L", (5, 4)).save(tmp_path / "m.png")
    masked = run("sample", "--cond", coarse, "--mask", "m.png", "-o", "n.tif", *options)
    assert b"--mask: not for fields" in masked.stderr


def test_of_several_fields_those_that_fail_are_reported(run, tmp_path, coarse, model):
    (tmp_path / "days").mkdir()
    coarse.rename(tmp_path / "days" / "a.tif")
    netcdf(tmp_path / "days" / "b.nc")
    (tmp_path / "days" / "c.tif").write_bytes(b"II*\0")
    done = run("superres", "days/*", "-m", 2, "-o", "out/", "--model", model, "--json")
    assert done.returncode == 1
    assert {line["input"]: line["status"] for line in records(done)} == {
        "days/a.tif": "ok",
        "days/b.nc": "ok",
        "days/c.tif": "error",
    }
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["a_superres.tif", "b_superres.nc"]  # each in its own format


def test_folders_and_patterns_of_fields_need_no_model_and_are_scored(run, tmp_path):
    """One of several is damaged."""
    days = tmp_path / "days"
    days.mkdir()
    data = bytearray(netcdf(days / "a.nc").read_bytes())
    for place in range(300, len(data), 97):
        data[place] ^= 255
    (days / "b.nc").write_bytes(data)
    netcdf(days / "c.NC4")
    (days / "notes.txt").touch()
    done = run("superres", "days", "-m", 2, "-o", "out")
    assert done.returncode == 1
    assert done.stdout.decode().split() == ["out/a_superres.nc", "out/c_superres.nc"]
    assert b"xarray cannot read 'days/b.nc'" in done.stderr
    assert b"files of other kinds left out: 1" in done.stderr
    assert b"Traceback" not in done.stderr
    scored = lines_of(run("score", "--cond", "days", "--target", "out", "--json"))
    assert [line["target"] for line in scored if line["status"] == "ok"] == [
        *["out/a_superres.nc"] * 2,
        *["out/c_superres.nc"] * 2,
    ]
    one = run("superres", "days/a*.nc", "-m", 2, "-o", "one")
    assert one.stdout == b"one/a_superres.nc\n"
    days.rename(tmp_path / "days.2021")
    again = run("superres", "days.2021", "-m", 2, "-o", "out", "--skip-existing")
    assert again.returncode == 1
    assert b"out/a_superres.nc exists" in again.stderr


def test_arrays_beside_photographs_are_left_out(run, tmp_path, small_image, coarse, model):
    for name in ("days", "photos"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "a.npy", COARSE)
    (tmp_path / "photos" / "b.png").write_bytes(small_image.read_bytes())
    photos = run("superres", "photos", "-m", 1, "-o", "out")
    assert photos.stdout == b"out/b_superres.png\n", photos.stderr
    fields = run("superres", "photos", "-m", 2, "-o", "fields", "--model", model)
    assert fields.stdout == b"fields/a_superres.npy\n"
    (tmp_path / "photos/a.npy").unlink()
    empty = run("superres", "photos", "--model", model)
    assert b"no fields in the folder 'photos'" in empty.stderr


def test_several_bands_are_no_field(run, tmp_path, model):
    with rasterio.open(
        tmp_path / "a.tif", "w", driver="GTiff", height=4, width=5, count=2, dtype="float32"
    ) as file:
        file.write(np.stack([COARSE, COARSE]))
        file.units = ("mm/h", "mm/h")
    done = run("superres", "a.tif")
    assert b"'a.tif' has 2 bands, and a field has one" in done.stderr
    np.save(tmp_path / "b.npy", np.stack([COARSE, COARSE]))
    assert b"hint: give one of them" in run("superres", "b.npy", "--model", model).stderr


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--interval"], "fields have no intervals", "quantiles of the members"),
        (["--scale", "2"], "--scale: not for fields", "leave it out"),
        (["--consistent"], "--consistent: not for fields", "leave it out"),
        (["--alpha"], "--alpha: not for fields", "leave it out"),
        (["--quality", "9"], "--quality: not for fields", "leave it out"),
        (["--format", "png"], "not written as 'png'", "--format netcdf or npy or tiff"),
        (["-o", "m.png"], "does not fit tiff", "-o m.tif"),
        (["--uncertainty", "u.png", "-m", "1"], "more than one candidate", "-m 10"),
        (["-n", "9", "-m", "3"], "cannot keep 9 of 3", "-m 9 -n 9"),
        (["--rank", "consensus"], "cannot be ranked by consensus", "--rank none"),
        (["-o", "m.nc"], "GeoTIFF is not converted to netcdf", "-o FILE.tif"),
    ],
)
def test_what_fields_do_not_have_is_refused_by_name(
    run, tmp_path, coarse, model, arguments, message, hint
):
    done = run("superres", coarse, "--model", model, *arguments)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr.decode()
    assert hint in done.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["coarse.tif"]


def test_no_interval_is_calibrated_with_fewer_than_nine_groups(run, tmp_path, model):
    for day in range(9):
        (tmp_path / f"days/{day}").mkdir(parents=True)
        np.save(tmp_path / f"days/{day}/a.npy", np.ones((8, 8), "f4"))
        np.save(tmp_path / f"days/{day}/b.npy", np.ones((8, 8), "f4"))
    options = ("calibrate", "--model", model, "--data", "days", "-o", "c.safetensors")
    done = run(*options)
    assert done.returncode == 2
    assert b"intervals are not calibrated for fields" in done.stderr
    for name in ("days/8/a.npy", "days/8/b.npy"):
        (tmp_path / name).unlink()
    done = run(*options)
    assert done.returncode == 2
    assert b"need 9 groups or more, such as days, because" in done.stderr
    assert b"'days' has 8" in done.stderr
    assert b"quantiles of the members, which promise nothing" in done.stderr
    assert not (tmp_path / "c.safetensors").exists()


def test_photographs_and_fields_are_told_apart(run, tmp_path, small_image, coarse, model):
    photo = run("superres", small_image, "--model", model)
    assert b"is no field" in photo.stderr
    assert b"a photograph needs a model of images" in photo.stderr
    field = run("superres", coarse, "--model", "photos-superres-x4")
    assert field.returncode == 2
    assert b"the input is a measured field in mm/h, and the model is one of images" in field.stderr
    assert b"hint: --model of a model of fields in mm/h" in field.stderr
    unit = run("superres", netcdf(tmp_path / "k.nc", unit="K"))
    assert b"no bundled model refines fields in K" in unit.stderr
    assert b"caflow train --task superres --data FIELDS --unit 'K'" in unit.stderr
    other = run("superres", "k.nc", "--model", model)
    assert b"in K, and the model in mm/h" in other.stderr
    np.save(tmp_path / "a.npy", COARSE)
    assert b"the field states no unit" in run("superres", "a.npy").stderr
    taken = run("superres", "a.npy", "-m", 2, "--model", model)
    assert b"states no unit, and is taken to be in mm/h" in taken.stderr
    assert np.load(tmp_path / "a_superres.npy").shape == (2, 16, 20)
    run("superres", "a.npy", "-m", 2, "-o", "a.tif", "--model", model)
    assert read_members(tmp_path / "a.tif")[0].image.unit.name == "mm/h"
    done = run("superres", small_image, "--nodata", "0")
    assert done.returncode == 2
    assert b"--nodata: for measured fields" in done.stderr


def test_values_out_of_the_models_range_are_named_with_their_place(run, tmp_path, model):
    values = COARSE.copy()
    values[2, 3] = 1000
    done = run("superres", netcdf(tmp_path / "a.nc", values), "--model", model)
    assert b"1000 mm/h at row 2, column 3: the model knows 0 to 400" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.nc"]
    assert math.isclose(read_field(tmp_path / "a.nc").image.values[2, 3, 0], 1000)


def test_a_unit_that_is_null_is_none(run, tmp_path, model):
    """JSON writers of a field without a unit state it as null; GDAL may state one beside it."""
    tifffile.imwrite(tmp_path / "a.tif", COARSE, description='{"unit": null}')
    done = run("superres", "a.tif", "-m", 1, "--model", model)
    assert (done.returncode, done.stdout) == (0, b"a_superres.tif\n")
    assert b"states no unit, and is taken to be in mm/h" in done.stderr
    assert read_provenance(tmp_path / "a_superres.tif")["seeds"] == [0]
    assert b"None" not in (tmp_path / "a_superres.tif").read_bytes()
    gdal = '<GDALMetadata><Item name="UNITTYPE" sample="0" role="unittype">m</Item></GDALMetadata>'
    tags = [(42112, 2, 0, gdal, True)]
    tifffile.imwrite(tmp_path / "b.tif", COARSE, description='{"unit": null}', extratags=tags)
    refused = run("superres", "b.tif", "-m", 1, "--model", model)
    assert b"the field is in m, and the model in mm/h" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rank", "consensus"], "cannot be ranked by consensus"),
        (["-o", "m.nc"], "GeoTIFF is not converted to netcdf"),
        ([], "is in m, and the model in mm/h"),
        ([], "the model would draw 8000×8000"),
    ],
)
def test_a_dry_run_refuses_what_the_run_refuses(run, tmp_path, coarse, model, words, said):
    if "is in m" in said:
        tifffile.imwrite(coarse, COARSE, description='{"unit": "m"}')
    if "8000" in said:
        values = np.ones((2000, 2000), np.float32)
        tifffile.imwrite(coarse, values, description='{"unit": "mm/h"}', compression="zlib")
    command = ["superres", coarse, "--model", model, *words]
    for done in (run(*command, "--dry-run"), run(*command)):
        assert done.returncode > 0
        assert said in done.stderr.decode()
    assert [path.name for path in tmp_path.iterdir()] == ["coarse.tif"]


def test_a_tiff_with_a_unit_does_not_make_photographs_fields(run, tmp_path, model_file):
    generator = np.random.default_rng(0)
    for name in "ab":
        values = generator.integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(values).save(tmp_path / f"{name}.tif")
    tifffile.imwrite(tmp_path / "c.tif", COARSE, description='{"unit": "mm/h"}')
    done = run("superres", ".", "-m", 1, "--model", model_file, "-o", "out/", "--json")
    assert done.returncode == 1
    assert [line["status"] for line in records(done)] == ["ok", "ok", "error"]
    assert b"field in mm/h" in done.stderr


def test_an_array_of_colors_is_not_asked_for_a_unit(run, tmp_path, model):
    np.save(tmp_path / "a.npy", np.zeros((8, 8, 3), np.uint8))
    for words in ([], ["--model", model]):
        done = run("superres", "a.npy", *words)
        assert b"'a.npy' holds colors, and arrays in files are fields" in done.stderr
        assert b"hint: save it as PNG" in done.stderr


def test_a_field_chooses_tau_which_is_stated_and_replayed(run, tmp_path, model):
    level = np.random.default_rng(3).normal(14, 1, (64, 72))
    wet = tmp_path / "wet.tif"
    tifffile.imwrite(wet, (0.1 * 10 ** (level / 10)).astype("f4"), description='{"unit": "mm/h"}')
    options = ["superres", wet, "-m", 2, "--model", model]
    drawn = run(*options, "--tau", "auto", "-o", "auto.tif", "--json")
    record = only_record(drawn)
    chosen = record["tau_chosen"]
    assert chosen["areas"] == 16 * 18
    assert chosen["tau"] == record["params"]["tau"] != chosen["own"]
    line = f"wet.tif: τ {chosen['tau'][0]}, chosen on 288 areas"
    assert drawn.stderr.decode().count(line) == 1
    assert read_provenance(tmp_path / "auto.tif")["tau_chosen"] == chosen
    run(*options, "--tau", chosen["tau"][0], "-o", "again.tif")
    pairs = zip(*(read_members(tmp_path / name) for name in ("auto.tif", "again.tif")), strict=True)
    assert all(np.array_equal(one.image.values, other.image.values) for one, other in pairs)


def test_a_field_that_cannot_choose_tau_is_refused_also_in_advance(run, coarse, model):
    for dry in ([], ["--dry-run"]):
        refused = run("superres", coarse, "--tau", "auto", "--model", model, "-o", "x.tif", *dry)
        assert refused.returncode == 1
        assert "a field of 5×4 cells is too small to choose it" in refused.stderr.decode()
