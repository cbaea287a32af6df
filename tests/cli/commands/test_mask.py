"""`caflow mask`, and `inpaint --mask auto`."""

import io

import numpy as np
import pytest
from cracked import cracked
from PIL import Image

from ..process import assert_refused
from ..results import lines_of
from ..scenes import pixels


@pytest.fixture
def old(tmp_path):
    """`old.png`, with cracks, and where they are."""
    image, cracks = cracked()
    Image.fromarray(image).save(tmp_path / "old.png")
    return cracks


def test_a_mask_marks_the_cracks(run, tmp_path, old):
    (line,) = lines_of(run("mask", "old.png", "--json"))
    mask = Image.open(tmp_path / "old_mask.png")
    assert mask.mode == "L"
    marked = np.asarray(mask) == 255
    assert marked[old].mean() > 0.6
    assert line["share"] == pytest.approx(marked.mean(), abs=1e-6)
    assert line["outputs"] == [{"rank": 1, "path": "old_mask.png"}]


def test_files_folders_and_streams(run, tmp_path, old):
    assert run("mask", "old.png", "-o", "m.png").stdout == b"m.png\n"
    first = (tmp_path / "m.png").read_bytes()
    assert_refused(run("mask", "old.png", "-o", "m.png"), 2, "'m.png' exists")
    assert run("mask", "old.png", "-o", "m.png", "--skip-existing").returncode == 0
    assert run("mask", "old.png", "-o", "m.png", "--overwrite").returncode == 0
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes((tmp_path / "old.png").read_bytes())
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    some = run("mask", "in", "--json", "-o", "masks")
    assert some.returncode == 1
    assert [line["status"] for line in lines_of(some)] == ["ok", "error"]
    assert (tmp_path / "masks" / "a_mask.png").read_bytes() == first
    assert run("mask", "in/a.png").returncode == 0
    assert b"1 earlier results left out" in run("mask", "in", "--dry-run", "--overwrite").stderr
    piped = run("mask", "-", "-o", "-", stdin=(tmp_path / "old.png").read_bytes())
    assert np.array_equal(pixels(io.BytesIO(piped.stdout)), pixels(tmp_path / "m.png"))


def test_a_threshold_out_of_range_is_refused(run, old):
    assert_refused(run("mask", "old.png", "--threshold", "1.5"), 2, "the threshold 1.5")


def test_inpaint_fills_what_is_found(run, tmp_path, old, model_files):
    given = ["inpaint", "old.png", "-m", 1, "--model", model_files["inpaint"], "--mask", "auto"]
    (line,) = lines_of(run(*given, "--save-mask", "m.png", "--json"))
    assert line["mask"] == "auto"
    marked = np.asarray(Image.open(tmp_path / "m.png")) == 255
    changed = (pixels(tmp_path / "old_inpaint.png") != pixels(tmp_path / "old.png")).any(-1)
    assert (changed & old).sum() > 0.5 * old.sum()
    assert not (changed & ~marked).any()
    assert run("mask", "old.png").returncode == 0
    assert run(*given[:-1], "old_mask.png", "-o", "b.png").returncode == 0
    assert np.array_equal(pixels(tmp_path / "b.png"), pixels(tmp_path / "old_inpaint.png"))
    assert_refused(run(*given, "old_mask.png", "--save-mask", "n.png"), 2, "--save-mask")


def test_an_image_without_damage_is_copied(run, tmp_path, model_files):
    Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(tmp_path / "x.png")
    done = run(
        "inpaint",
        "x.png",
        "--mask",
        "auto",
        "--save-mask",
        "m.png",
        "--json",
        "--model",
        model_files["inpaint"],
    )
    assert done.returncode == 0
    (line,) = lines_of(done)
    assert line["status"] == "unchanged"
    assert np.array_equal(pixels(tmp_path / "x_inpaint.png"), pixels(tmp_path / "x.png"))
    assert not pixels(tmp_path / "m.png").any()
