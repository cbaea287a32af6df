"""`--value-range`: the commands on counts, and on floats in a unit."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from caflow_cli.images import decode, read_provenance

from .results import only_record

tifffile = pytest.importorskip("tifffile")
imagecodecs = pytest.importorskip("imagecodecs")

SHARES = np.add.outer(np.arange(8) * 7, np.arange(8) * 3) / 70
COUNTS = np.rint(SHARES * 2040).astype(np.uint16)
KELVIN = (250 + 60 * SHARES).astype(np.float32)


def png(path, values):
    path.write_bytes(imagecodecs.png_encode(values))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_counts_come_back_as_counts_and_scores_repeat(run, tmp_path, model_files, suffix):
    if suffix == "png":
        png(tmp_path / "a.png", COUNTS)
    else:
        tifffile.imwrite(tmp_path / "a.tif", COUNTS, photometric="minisblack", metadata=None)
    given = ["--model", model_files["superres"], "--value-range", "0,2040"]
    out = f"b.{suffix}"
    done = run("superres", f"a.{suffix}", *given, "-m", 2, "--consistent", "-o", out, "--json")
    assert done.stderr == b""
    line = only_record(done)
    assert (line["value_range"], line["depth"]) == ([0, 2040], 16)
    stored = decode(tmp_path / out)
    assert (stored.image.values.dtype, stored.gray) == (np.uint16, True)
    small = stored.image.values[..., 0].reshape(8, 4, 8, 4).mean((1, 3))
    assert abs(small - COUNTS).mean() < 60
    assert stored.image.values.max() <= 2040
    assert read_provenance(tmp_path / out)["value_range"] == [0, 2040]
    scored = run("score", "--cond", f"a.{suffix}", "--target", out, *given, "--json")
    assert only_record(scored)["log_likelihood"] == line["outputs"][0]["log_likelihood"]
    unlike = run("score", "--cond", f"a.{suffix}", "--target", out, *given[:2], "--json")
    assert only_record(unlike)["log_likelihood"] != line["outputs"][0]["log_likelihood"]


def test_floats_come_back_as_floats_in_their_range(run, tmp_path, model_files):
    tifffile.imwrite(tmp_path / "k.tif", KELVIN, photometric="minisblack", metadata=None)
    given = ["--model", model_files["superres"], "-m", 1]
    refused = run("superres", "k.tif", *given)
    assert refused.returncode == 1
    assert b"--value-range" in refused.stderr
    given += ["--value-range", "250,310"]
    done = run("superres", "k.tif", *given, "-o", "fine.tif", "--json")
    stored = tifffile.imread(tmp_path / "fine.tif")
    assert (stored.shape, stored.dtype) == ((32, 32), np.float32)
    assert 250 <= stored.min() < stored.max() <= 310
    line = only_record(done)
    pair = ["--cond", "k.tif", "--target", "fine.tif", *given[:2], *given[4:], "--json"]
    scored = only_record(run("score", *pair))
    assert scored["log_likelihood"] == line["outputs"][0]["log_likelihood"]
    said = run("superres", "k.tif", *given, "-o", "fine.png").stderr.decode()
    assert "png does not hold its range: black is 0, and white the largest value" in said
    levels = decode(tmp_path / "fine.png").image.values[..., 0]
    assert abs(250 + levels / 65535 * 60 - stored).max() < 1e-3


@pytest.mark.parametrize("command", ["colorize", "inpaint", "sample"])
def test_other_commands_read_counts(run, tmp_path, model_files, command):
    counts = np.rint(np.kron(SHARES, np.ones((4, 4))) * 4000).astype(np.uint16)
    png(tmp_path / "a.png", counts)
    hole = np.zeros((32, 32), np.uint8)
    hole[8:20, 8:20] = 255
    Image.fromarray(hole).save(tmp_path / "hole.png")
    words = {
        "colorize": ["a.png", "--model", model_files["colorize"]],
        "inpaint": ["a.png", "--model", model_files["inpaint"], "--mask", "hole.png"],
        "sample": ["--cond", "a.png", "--model", model_files["superres"]],
    }[command]
    done = run(command, *words, "--value-range", "0,4095", "-m", 1, "-o", "b.png", "--json")
    assert only_record(done)["value_range"] == [0, 4095]
    stored = decode(tmp_path / "b.png")
    assert stored.image.values.max() <= 4095
    if command == "inpaint":
        assert np.array_equal(stored.image.values[..., 0][hole == 0], counts[hole == 0])


def test_a_mask_is_found_in_the_colors_that_a_range_shows(run, tmp_path):
    rng = np.random.default_rng(0)
    photo = rng.normal(0.5, 0.01, (64, 64))
    photo[30:32, 5:60] = 1
    png(tmp_path / "a.png", np.rint(photo * 65535).clip(0, 65535).astype(np.uint16))
    png(tmp_path / "b.png", np.rint(photo * 4095).clip(0, 4095).astype(np.uint16))
    assert run("mask", "a.png", "-o", "wide.png").returncode == 0
    assert run("mask", "b.png", "--value-range", "0,4095", "-o", "low.png").returncode == 0
    wide, low = (np.asarray(Image.open(tmp_path / f"{name}.png")) for name in ("wide", "low"))
    assert wide.any()
    assert (wide == low).mean() > 0.999


def test_counts_without_a_range_are_noted_once(run, tmp_path, model_files):
    png(tmp_path / "a.png", COUNTS)
    png(tmp_path / "b.png", COUNTS // 2)
    png(tmp_path / "full.png", (COUNTS * 32).astype(np.uint16))
    given = ["--model", model_files["superres"], "-m", 1, "--dry-run"]
    said = run("superres", "a.png", "b.png", "full.png", *given).stderr.decode()
    note = "its 16 bits end at 2,040, so that it is nearly black; if it has 12 bits, state that: "
    assert said.count(note + "--value-range 0,4095") == 1
    assert said.count("nearly black; if") == 1
    assert "and 1 more: 16 bits that are nearly black" in said
    assert "full.png: its 16 bits" not in said
    said = run("superres", "a.png", "--crop", "0,0,4x4", *given).stderr.decode()
    assert note in said


@pytest.mark.parametrize("typed", ["0", "0,1,2", "9,0", "3,3", "a,b", "0,inf", "0,nan", ""])
def test_what_is_typed_must_be_a_range(run, typed):
    done = run("superres", "a.png", "--value-range", typed)
    assert done.returncode == 2
    assert f"--value-range is {typed!r}" in done.stderr.decode()
    assert "--value-range 0,4095: the values of black and white" in done.stderr.decode()


def test_negative_numbers_may_be_typed(run, tmp_path, model_files):
    tifffile.imwrite(tmp_path / "a.tif", (2 * SHARES - 1).astype(np.float32), metadata=None)
    given = ["--model", model_files["superres"], "-m", 1, "--json", "-o", "b.tif"]
    line = only_record(run("superres", "a.tif", "--value-range", "-1,1", *given))
    assert line["value_range"] == [-1, 1]
    assert tifffile.imread(tmp_path / "b.tif").min() < 0


def test_a_value_outside_is_named_and_what_has_no_range_is_refused(run, tmp_path, model_files):
    given = ["--model", model_files["superres"], "-m", 1, "--value-range", "0,1023"]
    png(tmp_path / "a.png", COUNTS)
    done = run("superres", "a.png", *given)
    assert done.returncode == 1
    said = done.stderr.decode()
    assert "'a.png' holds 1049 at x 5, y 3, and " in said
    assert "outside 0 to 1023" in said
    assert "hint: a range that has 0 to 2040, or clip them" in said
    Image.new("CMYK", (8, 8)).save(tmp_path / "cmyk.tif")
    inverted = {"photometric": "miniswhite", "metadata": None}
    tifffile.imwrite(tmp_path / "inverted.tif", COUNTS, **inverted)
    rgba = np.dstack([COUNTS] * 4)
    premultiplied = {"photometric": "rgb", "extrasamples": ["assocalpha"], "metadata": None}
    tifffile.imwrite(tmp_path / "premultiplied.tif", rgba, **premultiplied)
    for name, why in (
        ("cmyk", "colors that are converted to sRGB"),
        ("inverted", "white as 0, or premultiplied colors"),
        ("premultiplied", "white as 0, or premultiplied colors"),
    ):
        done = run("superres", f"{name}.tif", *given)
        assert done.returncode == 1
        assert why in done.stderr.decode()
    alpha = np.dstack([KELVIN] * 3 + [np.full((8, 8), 2, np.float32)])
    straight = {"photometric": "rgb", "extrasamples": ["unassalpha"], "metadata": None}
    tifffile.imwrite(tmp_path / "alpha.tif", alpha, **straight)
    done = run("superres", "alpha.tif", *given[:4], "--value-range", "250,310")
    assert b"the last band of 'alpha.tif' holds 2 at x 0, y 0, and 63 more" in done.stderr


def test_alpha_of_a_file_has_the_range_of_its_type(run, tmp_path, model_files):
    alpha = np.full((8, 8), 0.5, np.float32)
    options = {"photometric": "rgb", "extrasamples": ["unassalpha"], "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([KELVIN] * 3 + [alpha]), **options)
    given = ["--model", model_files["superres"], "-m", 1, "--value-range", "250,310"]
    assert run("superres", "a.tif", *given, "-o", "b.tif").returncode == 0
    stored = tifffile.imread(tmp_path / "b.tif")
    assert stored.shape == (32, 32, 4)
    assert 250 <= stored[..., :3].min() <= stored[..., :3].max() <= 310
    assert abs(stored[..., 3] - 0.5).max() < 1e-6


def test_without_the_extra_16_bits_have_no_range(run, tmp_path, model_files, monkeypatch):
    png(tmp_path / "a.png", COUNTS)
    for module in ("read", "ranges", "write"):
        monkeypatch.setattr(f"caflow_cli.images.{module}.has_deep", lambda: False)
    given = ["--model", model_files["superres"], "-m", 1, "--value-range", "0,4095"]
    done = run("superres", "a.png", *given)
    assert done.returncode == 1
    said = done.stderr.decode()
    assert "'a.png' has 16 bits per channel, which are read as 8" in said
    assert 'hint: pip install -e ".[deep]"' in said
