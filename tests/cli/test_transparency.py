"""Alpha: what a model sees of it, and how it comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caflow_cli.images import decode, read_image

from .results import only_record
from .scenes import ALPHA, PHOTO


@pytest.fixture
def cutout(tmp_path) -> Path:
    """A picture with alpha, and cyan where nothing shows."""
    colours = np.where(ALPHA[..., None] == 0, [0, 255, 255], PHOTO).astype(np.uint8)
    Image.fromarray(np.dstack([colours, ALPHA])).save(tmp_path / "cutout.png")
    return tmp_path / "cutout.png"


def test_alpha_comes_back_enlarged_and_hidden_colours_do_not_show(
    run, tmp_path, cutout, model_file
):
    shared = ("superres", cutout, "-m", 2, "--json", "--model", model_file)
    (output,) = only_record(run(*shared, "-o", "a.png"))["outputs"]
    assert output["score_exact"] is False
    result = decode(tmp_path / "a.png")
    wanted = Image.fromarray(ALPHA).resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(result.alpha, wanted)
    # Other hidden colours, the same result.
    colours = np.where(ALPHA[..., None] == 0, [255, 0, 255], PHOTO).astype(np.uint8)
    Image.fromarray(np.dstack([colours, ALPHA])).save(tmp_path / "other.png")
    (other,) = only_record(run("superres", "other.png", *shared[2:], "-o", "b.png"))["outputs"]
    assert other["log_likelihood"] == output["log_likelihood"]
    np.testing.assert_array_equal(decode(tmp_path / "b.png").rgb, result.rgb)
    scored = run("score", "--cond", cutout, "--target", "a.png", "--json", "--model", model_file)
    record = only_record(scored)
    assert record["score_exact"] is False
    assert record["log_likelihood"] == pytest.approx(output["log_likelihood"], abs=0.01)
    # JPEG has no alpha.
    done = run(*shared, "-o", "a.jpg")
    assert done.stderr.decode() == f"{cutout}: laid on white, as jpg has no alpha\n"
    assert read_image(tmp_path / "a.jpg")[:, :3].min() > 235


def test_alpha_is_unchanged_where_the_size_is(run, tmp_path, model_files):
    colours = np.random.default_rng(0).integers(0, 256, (32, 32, 4), dtype=np.uint8)
    colours[:16, :16, 3] = 0
    Image.fromarray(colours).save(tmp_path / "x.png")
    mask = np.zeros((32, 32), np.uint8)
    mask[8:24, 8:24] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    only_record(run("colorize", "x.png", "-m", 1, "--json", "--model", model_files["colorize"]))
    np.testing.assert_array_equal(decode(tmp_path / "x_colorize.png").alpha, colours[..., 3])
    inpaint = ("inpaint", "x.png", "--mask", "m.png", "-m", 1, "--json")
    only_record(run(*inpaint, "--model", model_files["inpaint"]))
    filled = np.asarray(Image.open(tmp_path / "x_inpaint.png"))
    np.testing.assert_array_equal(filled[mask == 0], colours[mask == 0])
    np.testing.assert_array_equal(filled[..., 3], colours[..., 3])
