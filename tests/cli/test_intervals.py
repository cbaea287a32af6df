"""`--interval` and `caflow calibrate`, as a person meets them."""

from pathlib import Path

import helpers
import numpy as np
import pytest
from PIL import Image

from caflow_cli import load, restore
from caflow_cli.checkpoint import Calibration, read_info
from caflow_cli.errors import CaflowError
from caflow_cli.hub.manifest import load_manifest
from caflow_cli.hub.publish import store_calibration
from caflow_cli.hub.resolve import resolve
from caflow_cli.intervals import interval
from caflow_cli.model import CAFlow

from .process import assert_refused
from .results import lines_of, only_record
from .scenes import pixels, save, touch

CALIBRATION = Calibration(
    tau=(0.8,),
    candidates=3,
    consistent=False,
    precision="float32",
    level=0.9,
    lambd=1.5,
    images=120,
    width=20.5,
    data="photos, val",
)


@pytest.fixture(scope="module")
def calibrated(model_files, tmp_path_factory) -> dict[str, Path]:
    """Models with a calibration in their files, by task."""
    folder = tmp_path_factory.mktemp("calibrated")
    paths = {}
    for task in ("superres", "colorize"):
        paths[task] = folder / f"{task}.safetensors"
        store_calibration(CALIBRATION, resolve(str(model_files[task])), paths[task])
    return paths


@pytest.fixture
def photos(tmp_path) -> Path:
    """Twelve images of 32x32."""
    images = helpers.smooth_image(12, 3, 32, seed=3).permute(0, 2, 3, 1).numpy()
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "photos" / f"{number:02d}.png")
    return tmp_path / "photos"


# --- restoring ------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["superres", "colorize"])
def test_the_ends_are_written_beside_the_output(run, tmp_path, calibrated, task):
    source = save(tmp_path / "x.png", 8, 12)
    done = run(task, "x.png", "--interval", "--model", calibrated[task], "--json")
    (line,) = lines_of(done)
    assert (line["params"]["tau"], line["params"]["candidates"]) == ([0.8], 3)
    low, high = pixels(tmp_path / f"x_{task}_low.png"), pixels(tmp_path / f"x_{task}_high.png")
    result = restore(load(calibrated[task]), source, tau=0.8, candidates=3)
    for written, end in zip((low, high), interval(result), strict=True):
        assert np.array_equal(written, end)
    every = np.stack([candidate.pixels for candidate in result.ranked]).astype(float)
    reach = 1.5 * (every.std(0, ddof=1) + 1)
    assert np.array_equal(low, np.floor(every.mean(0) - reach).clip(0, 255))
    assert np.array_equal(high, np.ceil(every.mean(0) + reach).clip(0, 255))
    mean_width = line["interval"].pop("mean_width")
    assert mean_width == pytest.approx((high.astype(int) - low).mean())
    assert line["interval"] == {
        "level": 0.9,
        "lambda": 1.5,
        "low": f"x_{task}_low.png",
        "high": f"x_{task}_high.png",
    }
    note = done.stderr.decode()
    assert "--tau 0.8 -m 3, as calibrated on 120 images (photos, val)" in note
    assert "images of the same kind, 90 % of values lie within" in note


def test_the_ends_have_the_profile_of_the_output(run, tmp_path, calibrated):
    profile = pytest.importorskip("imagecodecs").cms_profile("adobergb")
    Image.fromarray(helpers.noise(8, 12)).save(tmp_path / "x.png", icc_profile=profile)
    run("superres", "x.png", "--interval", "--model", calibrated["superres"])
    for end in ("", "_low", "_high"):
        with Image.open(tmp_path / f"x_superres{end}.png") as written:
            assert written.info["icc_profile"] == profile


def test_several_outputs_share_an_interval_and_paths_go_to_stdout(run, tmp_path, calibrated):
    save(tmp_path / "x.png", 8, 12)
    shared = ["superres", "x.png", "--interval", "--model", calibrated["superres"]]
    done = run(*shared, "-n", 2, "-o", "y.webp")
    names = ["y_01.webp", "y_02.webp", "y_low.png", "y_high.png"]
    assert done.stdout.decode().splitlines() == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["x.png", *names])


def test_the_ends_are_planned_claimed_and_overwritten(run, tmp_path, calibrated):
    save(tmp_path / "x.png", 8, 12)
    shared = ["superres", "x.png", "--interval", "--model", calibrated["superres"]]
    planned = run(*shared, "--dry-run", "--json")
    ends = {"low": "x_superres_low.png", "high": "x_superres_high.png"}
    (line,) = lines_of(planned)
    assert (line["status"], line["interval"]) == ("planned", ends)
    assert run(*shared, "--dry-run").stdout.decode().split() == ["x_superres.png", *ends.values()]
    touch(tmp_path / "x_superres_low.png", data=b"kept")
    assert_refused(run(*shared), 2, "'x_superres_low.png' exists")
    assert not (tmp_path / "x_superres.png").exists()
    done = run(*shared, "--skip-existing", "--json")
    (line,) = lines_of(done)
    assert "low" not in line["interval"]
    assert line["interval"]["high"] == "x_superres_high.png"
    assert (tmp_path / "x_superres_low.png").read_bytes() == b"kept"
    (line,) = lines_of(run(*shared, "--skip-existing", "--json"))
    assert line["status"] == "skipped"
    assert run(*shared, "--overwrite").returncode == 0
    assert pixels(tmp_path / "x_superres_low.png").shape == (32, 48, 3)
    clash = run("superres", "x.png", "x_superres_low.png", *shared[2:], "-o", "x_superres_low.png")
    assert clash.returncode == 2


def test_intervals_in_a_folder_are_no_inputs(run, tmp_path, calibrated):
    save(tmp_path / "in" / "x.png", 8, 12)
    shared = ["superres", "in", "--interval", "--model", calibrated["superres"]]
    assert run(*shared).returncode == 0
    again = run(*shared, "--overwrite", "--json")
    assert [line["input"] for line in lines_of(again)] == ["in/x.png"]
    assert b"of other inputs left out: 3" in again.stderr


def test_intervals_are_neither_compared_nor_scored(run, tmp_path, calibrated, photos):
    model = calibrated["colorize"]
    done = run("colorize", "photos", "-o", "out/", "--interval", "--model", model)
    assert done.returncode == 0, done.stderr
    compared = only_record(run("evaluate", "out", "photos", "--metric", "rmse", "--json"))
    assert compared["images"] == 12
    scored = run("score", "--cond", "photos", "--target", "out", "--model", model, "--json")
    assert len(lines_of(scored)) == 12
    assert scored.returncode == 0, scored.stderr


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("superres", ["--scale", 2], "--interval and --scale cannot"),
        ("superres", ["-o", "-"], "--interval and -o - cannot"),
        ("colorize", ["--saturation", 0.5], "--interval and --saturation cannot"),
        ("colorize", ["--hint", "2,2=#806040"], "--interval and --hint cannot"),
        ("superres", ["--tau", 0.5], "calibrated for --tau 0.8 -m 3, not --tau 0.5 -m 3"),
        ("superres", ["-m", 5], "calibrated for --tau 0.8 -m 3, not --tau 0.8 -m 5"),
        ("superres", ["-m", 5, "--tau", 1], "calibrated for --tau 0.8 -m 3, not --tau 1 -m 5"),
        ("superres", ["--consistent"], "not --tau 0.8 -m 3 --consistent"),
        ("superres", ["--precision", "bf16"], "not --tau 0.8 -m 3 --precision bf16"),
    ],
)
def test_what_cannot_have_intervals(run, tmp_path, calibrated, task, options, message):
    save(tmp_path / "x.png", 8, 12)
    result = run(task, "x.png", "--interval", "--model", calibrated[task], *options)
    assert_refused(result, 2, message)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    if "not --tau" in message:
        known = ("--tau", "-m", "--consistent", "--precision")
        wrong = " and ".join(option for option in known if option in options)
        assert f"hint: leave out {wrong}; or caflow calibrate".encode() in result.stderr


def test_typing_the_calibrated_settings_is_no_error(run, tmp_path, calibrated):
    save(tmp_path / "x.png", 8, 12)
    typed = ["--tau", 0.8, "-m", 3, "--precision", "float32"]
    done = run("superres", "x.png", "--interval", "--model", calibrated["superres"], *typed)
    assert done.returncode == 0, done.stderr


def test_a_model_without_a_calibration_says_how_to_make_one(run, small_image, model_files):
    refused = run("superres", small_image, "--interval", "--model", model_files["superres"])
    assert_refused(refused, 2, "'superres.safetensors' has no calibration")
    assert b"caflow calibrate --model superres.safetensors --data DIR" in refused.stderr


def test_the_map_shows_half_the_width(run, tmp_path, calibrated):
    save(tmp_path / "x.png", 8, 12)
    shared = ["superres", "x.png", "--model", calibrated["superres"], "-o", "out/", "--overwrite"]
    plain = ["--tau", 0.8, "-m", 3]
    assert run(*shared, *plain, "--uncertainty", "plain.png").returncode == 0
    assert run(*shared, "--interval", "--uncertainty", "half.png").returncode == 0
    assert not np.array_equal(pixels(tmp_path / "plain.png"), pixels(tmp_path / "half.png"))


def test_an_image_with_a_predicted_candidate_has_no_interval(run, tmp_path):
    """Of a broken model all candidates diverge eleven times."""
    helpers.broken(helpers.guided_model(), 3).save(tmp_path / "broken.safetensors")
    path = tmp_path / "hot.safetensors"
    store_calibration(CALIBRATION, resolve(str(tmp_path / "broken.safetensors")), path)
    image = save(tmp_path / "x.png", 8, 8)
    done = run("superres", "x.png", "--interval", "--model", path, "--json")
    (line,) = lines_of(done)
    assert all(one["predicted"] == [[0, 0, 32, 32]] for one in line["candidates"])
    assert "interval" not in line
    assert b"x.png: no interval, because a candidate diverged" in done.stderr
    assert not (tmp_path / "x_superres_low.png").exists()
    result = restore(load(path), image, tau=0.8, candidates=3)
    with pytest.raises(CaflowError, match=r"no interval: 3 of 3 candidates diverged"):
        interval(result)


def test_an_image_that_is_drawn_in_tiles_has_no_interval(run, tmp_path, calibrated):
    save(tmp_path / "x.png", 370, 370)
    done = run("superres", "x.png", "--interval", "--model", calibrated["superres"])
    assert done.returncode == 1
    assert b"1480\xc3\x971480 pixels are drawn in tiles, which have no intervals" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]


def test_other_settings_have_no_interval_in_python(calibrated, tmp_path):
    model = load(calibrated["superres"])
    result = restore(model, save(tmp_path / "x.png", 8, 12), tau=0.5, candidates=3)
    with pytest.raises(CaflowError, match=r"not --tau 0\.5 -m 3"):
        interval(result)


# --- calibrating ----------------------------------------------------------------------------------


def test_calibrate_writes_the_model_with_its_calibration(run, tmp_path, model_files, photos):
    model = model_files["superres"]
    shared = ["calibrate", "--model", model, "--data", "photos", "--tau", 0.9, "-m", 4]
    done = run(*shared, "-o", "mine.safetensors", "--json")
    (line,) = lines_of(done)
    record = read_info(tmp_path / "mine.safetensors").training["calibration"]
    assert record == {name: line[name] for name in record}
    assert record | {"lambda": 0, "width": 0} == {
        "tau": [0.9],
        "candidates": 4,
        "consistent": False,
        "precision": "float32",
        "level": 0.9,
        "lambda": 0,
        "images": 12,
        "width": 0,
        "data": "photos",
    }
    assert b"with fewer than 100 images" in done.stderr
    before, after = (CAFlow.load(path) for path in (model, tmp_path / "mine.safetensors"))
    for name, tensor in before.state_dict().items():
        assert tensor.equal(after.state_dict()[name])
    assert (
        read_info(model).training.items()
        <= read_info(tmp_path / "mine.safetensors").training.items()
    )
    restored = run(
        "superres", save(tmp_path / "x.png", 8, 8), "--interval", "--model", "mine.safetensors"
    )
    assert restored.returncode == 0, restored.stderr
    info = only_record(run("models", "info", "mine.safetensors", "--json"))
    assert info["calibration"] == record
    assert_refused(run(*shared, "-o", "mine.safetensors"), 2, "'mine.safetensors' exists")
    over = run(
        "calibrate",
        "--model",
        "mine.safetensors",
        *shared[3:],
        "--level",
        0.8,
        "-o",
        "mine.safetensors",
        "--overwrite",
    )
    assert over.returncode == 0, over.stderr
    assert read_info(tmp_path / "mine.safetensors").training["calibration"]["level"] == 0.8


def test_check_measures_and_writes_nothing(run, tmp_path, calibrated, photos):
    model = calibrated["superres"]
    shared = ["calibrate", "--model", model, "--data", "photos", "--check"]
    (line,) = lines_of(run(*shared, "--json"))
    assert line["images"] == 12
    assert 0 < line["quantiles"][0] <= line["coverage"] <= line["quantiles"][1] <= 1
    text = run(*shared).stdout.decode()
    assert f"coverage  {100 * line['coverage']:.1f} ± " in text
    assert_refused(run(*shared, "--tau", 0.5), 2, "not --tau 0.5 -m 3")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_the_record_of_a_packed_model_is_in_its_manifest(run, tmp_path, model_files, photos):
    assert run("models", "pack", model_files["colorize"], "--id", "mine").returncode == 0
    before = (tmp_path / "mine.safetensors").read_bytes()
    shared = ["calibrate", "--model", "mine.safetensors", "--data", "photos", "-m", 3]
    done = run(*shared, "-o", "weights_manifest.json")
    assert done.returncode == 0, done.stderr
    entry = load_manifest(tmp_path / "weights_manifest.json")["mine"]
    assert (entry.calibration["images"], entry.calibration["candidates"]) == (12, 3)
    assert (tmp_path / "mine.safetensors").read_bytes() == before
    save(tmp_path / "x.png", 8, 12)
    restored = run("colorize", "x.png", "--interval", "--model", "mine.safetensors")
    assert restored.returncode == 0, restored.stderr
    assert_refused(run(*shared, "-o", "weights_manifest.json"), 2, "has a calibration for 'mine'")
    # The record is bound to the file: with other weights, there is none.
    store_calibration(
        CALIBRATION, resolve(str(model_files["colorize"])), tmp_path / "other.safetensors"
    )
    other = run(
        *shared[:1], "--model", "other.safetensors", *shared[3:], "-o", "weights_manifest.json"
    )
    assert_refused(other, 2, "no manifest with an entry for the file of 'other.safetensors'")


def test_packing_drops_the_calibration_of_other_weights(run, tmp_path, calibrated):
    assert run("models", "pack", calibrated["superres"], "--id", "mine").returncode == 0
    assert "calibration" not in read_info(tmp_path / "mine.safetensors").training


def test_a_broken_record_is_refused(run, tmp_path, small_model, small_image):
    small_model.save(tmp_path / "x.safetensors", {"calibration": {"lambda": -1}})
    command = ("superres", small_image, "--model", "x.safetensors", "-m", 1)
    assert_refused(run(*command, "--interval"), 3, "'calibration.level' is missing")
    assert run(*command).returncode == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "calibrate writes a calibration, or measures one"),
        (["-o", "a.safetensors", "--check"], "calibrate writes a calibration, or measures one"),
        (["-o", "a.png"], "a calibration is written into a model file, not 'a.png'"),
        (["-o", "a.json"], "no manifest with an entry"),
        (["-o", "a.safetensors", "--inputs", "odd"], "inputs is 'odd'"),
        (["--check", "--level", 0.9], "--check measures a calibration at its own level"),
        (["-o", "a.safetensors", "--level", 2], "the level is 2"),
        (["-o", "a.safetensors", "--level", 0.95], "need 19 images or more, not 12"),
        (["-o", "a.safetensors", "-m", 1], "one candidate"),
        (["-o", "a.safetensors", "--data", "none"], "no data at 'none'"),
    ],
)
def test_wrong_calibrations_are_refused(run, tmp_path, model_files, photos, options, message):
    shared = ["calibrate", "--model", model_files["superres"], "--data", "photos"]
    assert_refused(run(*shared, *options), 2, message)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
