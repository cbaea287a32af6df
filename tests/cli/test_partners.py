"""Which mask belongs to a picture, and which condition to a target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .process import assert_refused
from .results import records
from .scenes import pixels, save, save_mask


def test_a_folder_of_masks_is_matched_by_stem(run, tmp_path, model_files):
    for name, size in (("a", (40, 40)), ("b", (64, 32))):
        save(tmp_path / f"{name}.png", *size)
        save_mask(tmp_path / "masks" / f"{name}.bmp", *size)
    given = ["inpaint", "a.png", "b.png", "-o", "out/", "-m", 1, "--json"]
    done = run(*given, "--mask", "masks", "--model", model_files["inpaint"])
    assert done.returncode == 0, done.stderr
    assert [r["mask"] for r in records(done)] == ["masks/a.bmp", "masks/b.bmp"]
    # Scored by folders as well: conditions, results of another stem, masks.
    save(tmp_path / "in" / "a.png", 40, 40)
    save(tmp_path / "in" / "b.png", 64, 32)
    scored = run(
        *["score", "--cond", "in", "--target", "out", "--mask", "masks", "--json"],
        CAFLOW_SCORE_MODEL=str(model_files["inpaint"]),
    )
    assert [r["log_likelihood"] for r in records(scored)] == pytest.approx(
        [r["outputs"][0]["log_likelihood"] for r in records(done)], abs=1e-2
    )
    (tmp_path / "masks" / "b.bmp").unlink()
    result = run(*given, "--mask", "masks", "--model", model_files["inpaint"], "--overwrite")
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


def test_folders_are_matched_by_stem_and_results_to_their_inputs(run, tmp_path, model_files):
    for name in ("a.png", "b.jpg"):
        save(tmp_path / "small" / name, 8, 8)
    model = model_files["superres"]
    done = run(
        *["superres", "small/a.png", "small/b.jpg", "-o", "big/", "-m", 2, "-n", 2, "--json"],
        *["--model", model],
    )
    written = {
        output["path"]: output["log_likelihood"]
        for record in records(done)
        for output in record["outputs"]
    }
    scored = run(
        "score", "--cond", "small", "--target", "big", "--json", CAFLOW_SCORE_MODEL=str(model)
    )
    assert scored.returncode == 0, scored.stderr
    lines = records(scored)
    assert [line["target"] for line in lines] == sorted(written)
    assert [line["cond"] for line in lines] == ["small/a.png"] * 2 + ["small/b.jpg"] * 2
    for line in lines:
        assert line["log_likelihood"] == pytest.approx(written[line["target"]], abs=1e-2)
    one = run("score", "--cond", "small/a.png", "--target", "big", "--model", model)
    targets = [line.split("\t")[2] for line in one.stdout.decode().splitlines()]
    assert targets == sorted(written)


def test_pictures_without_a_partner_are_named(run, tmp_path, model_files):
    for path in ("in/a.png", "in/lonely.png", "out/a.png", "out/stray.png"):
        save(tmp_path / path, 8, 8)
    result = run("score", "--cond", "in", "--target", "out", "--model", "nowhere")
    assert_refused(result, 2, "'out/stray.png', 'in/lonely.png'")
    assert_refused(run("score", "--cond", "in", "--target", "in/a.png"), 2, "is a folder")
    save(tmp_path / "in" / "a.jpg", 8, 8)
    assert_refused(
        run("score", "--cond", "in", "--target", "out"), 2, "differ only in their suffix"
    )
