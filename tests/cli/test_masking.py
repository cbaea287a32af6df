"""Masks: holes in alpha channels, and what is refused because it is no mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caflow_cli.images import Decoded

from .process import assert_refused
from .results import lines_of
from .scenes import pixels, save, save_mask


@pytest.fixture
def given(tmp_path, model_files):
    save(tmp_path / "x.png", 32, 40)
    return ["inpaint", "x.png", "-m", 1, "--model", model_files["inpaint"]]


def with_hole(tmp_path, name="cut.png"):
    """`x.png` with a hole in its alpha channel, and the hole."""
    picture = np.dstack([pixels(tmp_path / "x.png"), np.full((32, 40), 255, np.uint8)])
    picture[8:16, 10:20] = 0
    picture[8, 10:20, 3] = 90  # the edge of a soft eraser
    Image.fromarray(picture, "RGBA").save(tmp_path / name)
    return picture[..., 3] < 255


def test_an_inverted_mask_stops_before_the_model(run, tmp_path, given):
    mask = save_mask(tmp_path / "m.png", 32, 40)
    Image.fromarray(255 - np.asarray(Image.open(mask))).save(tmp_path / "inverted.png")
    refused = run(*given[:-1], "none.safetensors", "--mask", "inverted.png")
    assert_refused(refused, 2, "'inverted.png' marks 94% of the image to be filled")
    for flag in (b"--invert-mask", b"--mask-as-is"):
        assert flag in refused.stderr
    assert run(*given, "--mask", "m.png", "-o", "a.png").returncode == 0
    turned = run(*given, "--mask", "inverted.png", "--invert-mask", "-o", "b.png")
    assert turned.returncode == 0, turned.stderr
    assert np.array_equal(pixels(tmp_path / "a.png"), pixels(tmp_path / "b.png"))
    pair = ["score", "--cond", "x.png", "--target", "b.png", "--model", given[-1]]
    scores = [
        run(*pair, "--mask", name, *flags).stdout
        for name, flags in (("m.png", []), ("inverted.png", ["--invert-mask"]))
    ]
    assert scores[0] == scores[1] != b""
    assert_refused(run(*given, "--mask", "m.png", "--invert-mask"), 2, "94%")
    assert run(*given, "--mask", "inverted.png", "--mask-as-is", "--dry-run").returncode == 0


def test_in_a_folder_an_inverted_mask_fails_alone(run, tmp_path, given):
    save(tmp_path / "y.png", 32, 40)
    mask = np.asarray(Image.open(save_mask(tmp_path / "masks" / "x.png", 32, 40)))
    Image.fromarray(255 - mask).save(tmp_path / "masks" / "y.png")
    done = run(given[0], "y.png", *given[1:], "--mask", "masks", "--json")
    assert (done.returncode, [line["status"] for line in lines_of(done)]) == (1, ["error", "ok"])


def test_a_photograph_is_no_mask(run, tmp_path, given):
    hole = with_hole(tmp_path)
    for name, hint in (("cut.png", b"leave --mask out"), ("x.png", b"--mask-as-is")):
        refused = run(*given[:-1], "none.safetensors", "--mask", name)
        assert_refused(refused, 2, f"{name!r} is a color image, not a mask")
        assert hint in refused.stderr
    # White strokes on a transparent layer are a mask, whatever colour the rest has.
    layer = np.where(hole[..., None], np.uint8(255), np.uint8([255, 255, 255, 0]))
    Image.fromarray(layer, "RGBA").save(tmp_path / "layer.png")
    done = run(*given, "--mask", "layer.png")
    assert done.returncode == 0, done.stderr
    changed = (pixels(tmp_path / "x_inpaint.png") != pixels(tmp_path / "x.png")).any(-1)
    assert changed.any()
    assert not (changed & ~hole).any()


def test_a_transparent_hole_is_filled(run, tmp_path, given):
    hole = with_hole(tmp_path)
    Image.fromarray(hole).save(tmp_path / "m.png")
    done = run(given[0], "cut.png", *given[2:], "--json")
    (line,) = lines_of(done)
    (output,) = line["outputs"]
    assert output["score_exact"]
    result = Image.open(tmp_path / "cut_inpaint.png")
    assert result.mode == "RGB"
    assert np.array_equal(np.asarray(result)[~hole], pixels(tmp_path / "x.png")[~hole])
    for mask in ([], ["--mask", "m.png"]):
        pair = ["--cond", "cut.png", "--target", "cut_inpaint.png", *mask]
        (again,) = lines_of(run("score", *pair, "--json", "--model", given[-1]))
        assert again["rank_score"] == pytest.approx(output["rank_score"], abs=1e-2)


def test_without_any_mask_a_picture_must_have_a_hole(run, tmp_path, given):
    refused = run(*given[:-1], "none.safetensors")
    assert_refused(refused, 2, "inpaint needs a mask, for 'x.png' is opaque")
    with_hole(tmp_path)
    done = run("inpaint", "cut.png", *given[1:], "--json")
    assert (done.returncode, [line["status"] for line in lines_of(done)]) == (1, ["ok", "error"])


def test_transparent_pixels_lose_their_colour():
    rgb = np.full((4, 4, 3), 100, np.uint8)
    rgb[0, 0] = 255
    alpha = np.full((4, 4), 255, np.uint8)
    alpha[0, 0] = 0
    filled = Decoded(rgb, alpha, "PNG").opaque()
    assert filled.alpha is None
    assert (filled.rgb == 100).all()


# --- which mask belongs to which image ----------------------------------------------------------


def test_a_folder_lacks_a_mask(run, tmp_path, model_files):
    for name in "ab":
        save(tmp_path / f"{name}.png", 40, 40)
    save_mask(tmp_path / "masks" / "a.bmp", 40, 40)
    result = run("inpaint", "a.png", "b.png", "--mask", "masks", "--model", model_files["inpaint"])
    assert_refused(result, 2, "no mask in 'masks' for 'b.png'")


def test_masks_that_lie_among_the_pictures_are_not_filled(run, tmp_path):
    for folder, mask in (("d", "d/masks"), ("e", "e/m.png")):
        save(tmp_path / folder / "a.png", 8, 8)
        save_mask(tmp_path / mask / "a.png" if "." not in mask else tmp_path / mask, 8, 8)
        done = run("inpaint", folder, "-r", "--mask", mask, "--dry-run")
        assert done.stdout.decode().split() == [str(Path(folder) / "a_inpaint.png")]


def test_a_mask_is_there_and_never_an_output(run, tmp_path, model_files):
    save(tmp_path / "a.png", 32, 32)
    mask = save_mask(tmp_path / "m.png", 32, 32).read_bytes()
    given = ["inpaint", "a.png", "-m", 1, "--model", model_files["inpaint"]]
    assert_refused(run(*given, "--mask", "n.png"), 2, "no mask 'n.png'")
    over = run(*given, "--mask", "m.png", "-o", "m.png", "--overwrite")
    assert_refused(over, 2, "the output 'm.png' is an input")
    assert (tmp_path / "m.png").read_bytes() == mask


def test_a_mask_is_turned_as_its_picture_is(run, tmp_path, model_files):
    """Both carry an orientation: stored 60x40, seen 40x60."""
    for path in (save(tmp_path / "x.png", 40, 60), save_mask(tmp_path / "m.png", 40, 60)):
        stored = Image.open(path)
        exif = stored.getexif()
        exif[0x0112] = 6
        stored.save(path, exif=exif)
    done = run("inpaint", "x.png", "--mask", "m.png", "-m", 1, "--model", model_files["inpaint"])
    assert done.returncode == 0, done.stderr
    result = pixels(tmp_path / "x_inpaint.png")
    assert result.shape == (60, 40, 3)
    turned = [
        np.asarray(Image.open(tmp_path / n).transpose(Image.Transpose.ROTATE_270))
        for n in ("x.png", "m.png")
    ]
    assert np.array_equal(result[turned[1] == 0], turned[0][turned[1] == 0])
