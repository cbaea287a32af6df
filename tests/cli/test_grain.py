"""`inpaint --grain`: what is written, what JSON states, and what `score` says of it."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

import caflow_cli as caflow

from .process import assert_refused
from .results import only_record


@pytest.fixture
def scan(tmp_path):
    """A smooth image with grain in its three layers, and a mask with two spots."""
    y, x = np.mgrid[:96, :128]
    smooth = 120 + 0.3 * x + 0.2 * y
    fields = np.random.default_rng(0).standard_normal((3, 96, 128))
    grain = gaussian_filter(fields, (0, 0.8, 0.8)).transpose(1, 2, 0)
    grain *= 9 / grain.std()
    image = np.rint(smooth[..., None] + grain).clip(0, 255).astype(np.uint8)
    mask = np.zeros((96, 128), np.uint8)
    mask[40:56, 30:46] = 255
    mask[20:23, 80:110] = 255
    Image.fromarray(image).save(tmp_path / "scan.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return image, mask >= 128


def test_grain_is_added_after_scoring_and_stated(run, tmp_path, monkeypatch, model_files, scan):
    monkeypatch.chdir(tmp_path)
    image, hole = scan
    given = ("inpaint", "scan.png", "--mask", "mask.png", "--model", model_files["inpaint"])
    given += ("-m", 2, "--tau", 0, "--seed", 5, "--json")
    auto = only_record(run(*given, "-o", "auto.png"))
    off = only_record(run(*given, "-o", "off.png", "--grain", "off"))
    assert auto["grain"]["spots"] == 2
    assert auto["grain"]["deviation"] > 3
    assert "grain" not in off
    assert auto["outputs"][0]["log_likelihood"] == off["outputs"][0]["log_likelihood"]
    assert not auto["outputs"][0]["score_exact"]
    assert off["outputs"][0]["score_exact"]
    with_grain = np.asarray(Image.open("auto.png"))
    without = np.asarray(Image.open("off.png"))
    np.testing.assert_array_equal(with_grain[~hole], image[~hole])
    assert (with_grain != without)[hole].any()
    refused = run(
        "score", "--cond", "scan.png", "--mask", "mask.png", "--target", "auto.png", *given[4:6]
    )
    assert_refused(refused, 1, "--grain")
    model = caflow.load(model_files["inpaint"])
    options = {"tau": 0, "candidates": 2, "seed": 5, "mask": "mask.png"}
    found = caflow.restore(model, "scan.png", **options)
    np.testing.assert_array_equal(found.kept[0].image, with_grain)
    found = caflow.restore(model, "scan.png", grain="off", **options)
    np.testing.assert_array_equal(found.kept[0].image, without)


def test_a_replay_repeats_the_grain_of_its_candidate(run, tmp_path, monkeypatch, model_files, scan):
    monkeypatch.chdir(tmp_path)
    given = ("inpaint", "scan.png", "--mask", "mask.png", "--model", model_files["inpaint"])
    given += ("--tau", 0, "--rank", "none")
    run(*given, "-m", 2, "-n", 2, "--seed", 5, "-o", "both.png")
    run(*given, "-m", 1, "--seed", 6, "-o", "again.png")
    second = np.asarray(Image.open("both_02.png"))
    np.testing.assert_array_equal(np.asarray(Image.open("again.png")), second)
    assert (np.asarray(Image.open("both_01.png")) != second).any()


def test_a_strength_is_stated(run, tmp_path, monkeypatch, model_files, scan):
    monkeypatch.chdir(tmp_path)
    given = ("inpaint", "scan.png", "--mask", "mask.png", "--model", model_files["inpaint"])
    found = only_record(run(*given, "-m", 1, "--grain", "6", "--json", "-o", "out.png"))
    assert found["grain"] == {"deviation": 6, "spots": 2}


@pytest.mark.parametrize("value", ["on", "-1", "nan", "100"])
def test_grain_is_auto_off_or_a_strength(run, value):
    refused = run("inpaint", "example:cat_192", "--mask", "example:scratch", f"--grain={value}")
    assert_refused(refused, 2, "grain")
