"""Color hints on the command line: which belong to which image, and what the results state."""

import json

import numpy as np
import pytest
from PIL import Image

import caflow_cli as caflow
from caflow_cli.images import read_provenance
from caflow_cli.tasks.base import gray

from .process import assert_refused
from .results import lines_of
from .scenes import pixels, save

GREEN = (90, 140, 80)


def paint(path, height=32, width=40, rows=slice(8, 16), columns=slice(10, 30), color=GREEN):
    strokes = np.zeros((height, width, 4), np.uint8)
    strokes[rows, columns] = [*color, 255]
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(strokes).save(path)
    return strokes


@pytest.fixture
def given(tmp_path, model_files):
    save(tmp_path / "x.png", 32, 40)
    return ["colorize", "x.png", "--model", model_files["colorize"], "--json"]


def record_of(done):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_hints_are_stated_and_scores_are_those_of_the_sample(run, tmp_path, given, model_files):
    strokes = paint(tmp_path / "h.png")
    options = ("-m", 4, "-n", 4)
    plain = record_of(run(*given, *options, "-o", "plain.png"))
    hinted = record_of(run(*given, *options, "-o", "hinted.png", "--hints", "h.png"))
    assert hinted["hints"] == "h.png"
    assert hinted["hinted_pixels"] == (strokes[..., 3] > 0).sum() == 160
    assert "hinted_pixels" not in plain
    for before, after in zip(plain["candidates"], hinted["candidates"], strict=True):
        assert after == {**before, "score_exact": False}
    best = hinted["outputs"][0]
    record = read_provenance(tmp_path / best["path"])
    assert record["hinted_pixels"] == 160
    assert record["rank_value"] == best["rank_value"]
    pair = ("--cond", "x.png", "--target", best["path"], "--model", model_files["colorize"])
    message = "was changed after it was drawn and scored (--hints)"
    assert_refused(run("score", *pair), 1, message)


def test_the_luminance_of_a_hinted_image_is_exact(run, tmp_path, given):
    strokes = paint(tmp_path / "h.png")
    run(*given, "-m", 2, "-o", "a.png", "--hints", "h.png")
    plain, hinted = (pixels(tmp_path / name) for name in ("x.png", "a.png"))
    assert np.array_equal(gray(hinted), gray(plain))
    under = strokes[..., 3] > 0
    assert not np.array_equal(hinted[under], plain[under])


def test_a_spot_is_a_disc(run, tmp_path, given):
    spot = record_of(run(*given, "-m", 1, "-o", "a.png", "--hint", "20,12=#5a8c50"))
    assert spot["hinted_pixels"] == 13  # a radius of two pixels
    rows, columns = np.mgrid[:32, :40]
    strokes = np.zeros((32, 40, 4), np.uint8)
    strokes[(rows - 12) ** 2 + (columns - 20) ** 2 <= 4] = [0x5A, 0x8C, 0x50, 255]
    Image.fromarray(strokes).save(tmp_path / "h.png")
    run(*given, "-m", 1, "-o", "b.png", "--hints", "h.png")
    assert np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png"))
    both = record_of(
        run(*given, "-m", 1, "-o", "c.png", "--hints", "h.png", "--hint", "1,1=#ff0000")
    )
    assert both["hinted_pixels"] == 13 + 11


def test_no_opaque_pixel_changes_nothing(run, tmp_path, given):
    paint(tmp_path / "h.png", rows=slice(0))
    run(*given, "-m", 2, "-o", "a.png")
    line = record_of(run(*given, "-m", 2, "-o", "b.png", "--hints", "h.png"))
    assert "hinted_pixels" not in line
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_python_takes_hints_as_an_array(run, tmp_path, given, model_files):
    strokes = paint(tmp_path / "h.png")
    run(*given, "-m", 2, "-o", "a.png", "--hints", "h.png")
    model = caflow.load(str(model_files["colorize"]))
    image = tmp_path / "x.png"
    result = caflow.restore(model, image, candidates=2, hints=strokes)
    assert np.array_equal(result.kept[0].image, pixels(tmp_path / "a.png"))
    assert result.as_json()["hinted_pixels"] == 160


def test_hints_in_a_folder_are_matched_by_name_and_are_no_inputs(run, tmp_path, model_files):
    for name in ("in/a.png", "in/b.png"):
        save(tmp_path / name, 32, 40)
    paint(tmp_path / "in/a_hints.png")
    paint(tmp_path / "in/b_png_hints.png")
    shared = ["--model", model_files["colorize"], "-m", 1, "--hints", "in", "--json", "-o", "out/"]
    expected = [("in/a.png", "in/a_hints.png"), ("in/b.png", "in/b_png_hints.png")]
    for inputs in (["in"], ["in/*.png"], ["in/a_hints.png", "in/a.png", "in/b.png"]):
        lines = lines_of(run("colorize", *inputs, *shared, "--overwrite"))
        assert [(one["input"], one["hints"]) for one in lines] == expected
    save(tmp_path / "in/c.png", 32, 40)
    refused = run("colorize", "in", *shared, "--overwrite", "-q")
    assert_refused(refused, 2, "no hints in 'in' for 'in/c.png'")
    one = ["colorize", "in/a.png", "in/a_hints.png", *shared[:4], "--hints", "in/a_hints.png"]
    assert [one["input"] for one in lines_of(run(*one, "--json"))] == ["in/a.png"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--hints", "small.png"], 1, "the hints are 30x20, the image 40x32"),
        (["--hints", "small.png", "--dry-run"], 1, "the hints are 30x20, the image 40x32"),
        (["--hints", "x.png"], 2, "the only image is used as hints"),
        (["--hints", "opaque.png"], 1, "no transparent pixels"),
        (["--hints", "gone.png"], 2, "no hints 'gone.png'"),
        (["--hint", "20,12=green"], 2, "--hint is '20,12=green'"),
        (["--hint", "40,12=#5a8c50"], 1, "--hint 40,12=#5a8c50 is outside of the image, 40x32"),
        (["--hint", "20,12=#5a8c50", "--saturation", 0.5], 2, "cannot be used with --saturation"),
        (["--hints", "small.png", "--saturation", 2], 2, "cannot be used with --saturation"),
    ],
)
def test_hints_that_cannot_be_used(run, tmp_path, given, options, code, message):
    paint(tmp_path / "small.png", 20, 30)
    save(tmp_path / "opaque.png", 32, 40)
    given.remove("--json")
    refused = run(*given, *options)
    assert_refused(refused, code, message)
