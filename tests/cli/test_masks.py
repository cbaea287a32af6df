"""Which mask belongs to an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from .process import assert_refused
from .scenes import pixels, save, save_mask


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
