"""Masks: holes in alpha channels, what is refused, and which mask belongs to which image."""

import numpy as np
import pytest
from PIL import Image

from .process import assert_refused
from .results import lines_of
from .scenes import pixels, save, save_mask


@pytest.fixture
def given(tmp_path, model_files):
    save(tmp_path / "x.png", 32, 40)
    return ["inpaint", "x.png", "-m", 1, "--model", model_files["inpaint"]]


def with_hole(tmp_path):
    """`x.png` with a hole in its alpha channel, as `cut.png`, and the hole."""
    image = np.dstack([pixels(tmp_path / "x.png"), np.full((32, 40), 255, np.uint8)])
    image[8:16, 10:20] = 0
    image[8, 10:20, 3] = 90  # the edge of a soft eraser
    Image.fromarray(image, "RGBA").save(tmp_path / "cut.png")
    return image[..., 3] < 255


def test_an_inverted_mask_is_refused_unless_told_otherwise(run, tmp_path, given):
    mask = save_mask(tmp_path / "m.png", 32, 40)
    Image.fromarray(255 - np.asarray(Image.open(mask))).save(tmp_path / "inverted.png")
    refused = run(*given, "--mask", "inverted.png")
    assert_refused(refused, 2, "'inverted.png' marks 94% of the image to be filled")
    assert b"--invert-mask, or --mask-as-is" in refused.stderr
    assert run(*given, "--mask", "inverted.png", "--mask-as-is", "-o", "all.png").returncode == 0
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


def test_a_photograph_as_a_mask_is_named(run, tmp_path, given):
    noise = np.random.default_rng(0).normal(120, 30, (32, 40, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    colors = len({*map(tuple, noise.reshape(-1, 3).tolist())})
    done = run(*given, "--mask", "photo.png", "--dry-run")
    assert f"photo.png has {colors:,} colors; white is filled" in done.stderr.decode()
    save_mask(tmp_path / "m.png", 32, 40)
    assert b"colors" not in run(*given, "--mask", "m.png", "--dry-run").stderr


def test_white_strokes_on_a_transparent_layer_are_a_mask(run, tmp_path, given):
    hole = with_hole(tmp_path)
    layer = np.where(hole[..., None], np.uint8(255), np.uint8([255, 255, 255, 0]))
    Image.fromarray(layer, "RGBA").save(tmp_path / "layer.png")
    done = run(*given, "--mask", "layer.png")
    assert done.returncode == 0, done.stderr
    changed = (pixels(tmp_path / "x_inpaint.png") != pixels(tmp_path / "x.png")).any(-1)
    assert changed.any()
    assert not (changed & ~hole).any()


def test_half_transparent_strokes_are_a_mask(run, tmp_path, given):
    """Alpha counts as values do: 128 and above is in the mask."""
    for alpha, filled in ((127, False), (128, True)):
        layer = np.full((32, 40, 4), [255, 255, 255, 0], np.uint8)
        layer[8:16, 10:20, 3] = alpha
        Image.fromarray(layer, "RGBA").save(tmp_path / "layer.png")
        done = run(*given, "--mask", "layer.png", "--overwrite", "--json")
        (line,) = lines_of(done)
        assert line["status"] == ("ok" if filled else "unchanged")
    changed = (pixels(tmp_path / "x_inpaint.png") != pixels(tmp_path / "x.png")).any(-1)
    assert not (changed & (layer[..., 3] == 0)).any()


def test_a_mask_is_grown_before_anything_else(run, tmp_path, given):
    hole = np.zeros((32, 40), np.uint8)
    hole[12:14, 10:20] = 255
    wide = np.zeros_like(hole)
    wide[9:17, 7:23] = 255
    for name, mask in (("thin", hole), ("wide", wide), ("inverted", 255 - hole)):
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
    results = []
    for flags in (
        ["wide.png"],
        ["thin.png", "--grow", 3],
        ["inverted.png", "--grow", 3, "--invert-mask"],
    ):
        (line,) = lines_of(run(*given, "--mask", *flags, "--overwrite", "--json"))
        pair = ["--cond", "x.png", "--target", "x_inpaint.png", "--model", given[-1], "--json"]
        (again,) = lines_of(run("score", *pair, "--mask", *flags))
        assert again["rank_score"] == line["outputs"][0]["rank_score"]
        results.append(pixels(tmp_path / "x_inpaint.png"))
    assert all(np.array_equal(results[0], other) for other in results[1:])
    with_hole(tmp_path)  # transparent pixels grow, too
    run(given[0], "cut.png", *given[2:], "--grow", 2)
    changed = (pixels(tmp_path / "cut_inpaint.png") != pixels(tmp_path / "x.png")).any(-1)
    assert changed[6:8].any()
    assert_refused(
        run(*given, "--mask", "thin.png", "--grow", 99, "-o", "z.png"), 2, "marks 100% of the image"
    )
    assert_refused(run(*given, "--mask", "thin.png", "--grow", -1), 2, "--grow")


def test_two_masks_are_an_error(run, given):
    refused = run(*given, "--mask", "a.png", "--mask=b.png")
    assert_refused(refused, 2, "--mask is given twice")


def test_a_transparent_hole_is_filled(run, tmp_path, given):
    refused = run(*given)
    assert_refused(refused, 2, "inpaint needs a mask, because 'x.png' is opaque")
    assert b"hint: --mask auto (finds scratches, cracks and dust), --mask FILE" in refused.stderr
    hole = with_hole(tmp_path)
    Image.fromarray(hole).save(tmp_path / "m.png")
    done = run(given[0], "cut.png", *given[1:], "--json")
    assert done.returncode == 1
    line, opaque = lines_of(done)
    assert opaque["status"] == "error"
    (output,) = line["outputs"]
    assert output["score_exact"]
    result = Image.open(tmp_path / "cut_inpaint.png")
    assert result.mode == "RGB"
    assert np.array_equal(np.asarray(result)[~hole], pixels(tmp_path / "x.png")[~hole])
    for mask in ([], ["--mask", "m.png"]):
        pair = ["--cond", "cut.png", "--target", "cut_inpaint.png", *mask]
        (again,) = lines_of(run("score", *pair, "--json", "--model", given[-1]))
        assert again["rank_score"] == pytest.approx(output["rank_score"], abs=1e-2)


def test_a_mask_is_there_and_never_an_output(run, tmp_path, given):
    mask = save_mask(tmp_path / "m.png", 32, 40).read_bytes()
    assert_refused(run(*given, "--mask", "n.png"), 2, "no mask 'n.png'")
    over = run(*given, "--mask", "m.png", "-o", "m.png", "--overwrite")
    assert_refused(over, 2, "is an input")
    assert (tmp_path / "m.png").read_bytes() == mask
    save_mask(tmp_path / "masks" / "y.bmp", 40, 40)
    assert_refused(run(*given, "--mask", "masks"), 2, "no mask in 'masks' for 'x.png'")
    save_mask(tmp_path / "masks" / "x.png", 40, 40)
    assert_refused(run(*given, "--mask", "masks/*"), 2, "no mask 'masks/*'")
    assert_refused(run("inpaint", "-", "--mask", "-"), 2, "stdin")


def test_a_mask_is_turned_as_its_image_is(run, tmp_path, model_files):
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
    image, mask = (
        np.asarray(Image.open(tmp_path / name).transpose(Image.Transpose.ROTATE_270))
        for name in ("x.png", "m.png")
    )
    assert np.array_equal(result[mask == 0], image[mask == 0])


def test_a_mask_among_the_inputs_is_no_input(run, tmp_path, given):
    save_mask(tmp_path / "m.png", 32, 40)
    done = run(*given, "m.png", "--mask", "m.png", "--dry-run", "--json")
    assert [line["input"] for line in lines_of(done)] == ["x.png"]
