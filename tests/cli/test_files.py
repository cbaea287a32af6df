"""Formats, transparency, frames and existing files, through the program."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from pictures import encoded
from PIL import Image

from caflow_cli.images import decode, read_image, read_provenance

from .process import assert_refused

PHOTO = (
    np.add.outer(np.arange(8) * 20, np.arange(8) * 12)[..., None] + np.array([10, 40, 0])
).astype(np.uint8)
ALPHA = np.tile(np.array([0, 0, 60, 200, 255, 255, 255, 255], np.uint8), (8, 1))


@pytest.fixture
def cutout(tmp_path) -> Path:
    """A picture with alpha, and cyan where nothing shows."""
    colours = np.where(ALPHA[..., None] == 0, [0, 255, 255], PHOTO).astype(np.uint8)
    Image.fromarray(np.dstack([colours, ALPHA])).save(tmp_path / "cutout.png")
    return tmp_path / "cutout.png"


def only_record(result) -> dict:
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    return json.loads(line)


def test_every_format_is_written_and_scored(run, tmp_path, model_file):
    Image.fromarray(PHOTO).save(tmp_path / "x.png")
    shared = ("superres", "x.png", "-m", 1, "--json", "--model", model_file)
    first = None
    for name, options, exact in (
        ("a.png", [], True),
        ("a.webp", [], True),
        ("a.tiff", [], True),
        ("a.jpg", [], False),
        ("b.webp", ["--quality", 80], False),
    ):
        (output,) = only_record(run(*shared, "-o", name, *options))["outputs"]
        assert output["score_exact"] is exact
        assert read_provenance(tmp_path / name)["seed"] == output["seed"]
        image = read_image(tmp_path / name)
        first = image if first is None else first
        assert np.array_equal(image, first) is exact
        # The model is the one that the picture names.
        scored = run(
            *("score", "--cond", "x.png", "--target", name, "--json"), CAFLOW_MODEL=str(model_file)
        )
        repeated = only_record(scored)["log_likelihood"]
        assert (abs(repeated - output["log_likelihood"]) < 0.01) is exact
    run(*shared, "-o", "out/", "--format", "webp", "--no-metadata")
    assert np.array_equal(read_image(tmp_path / "out" / "x_superres.webp"), first)
    assert read_provenance(tmp_path / "out" / "x_superres.webp") is None
    piped = run(*shared[:4], "--model", model_file, "-o", "-", "--format", "tiff")
    assert decode(io.BytesIO(piped.stdout)).format == "TIFF"


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


def test_a_frame_of_an_animation(run, tmp_path, model_file):
    frames = [Image.fromarray(np.roll(PHOTO, 2 * i, 0)) for i in range(3)]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    (tmp_path / "x.png").write_bytes(data)
    frames[1].save(tmp_path / "second.png")
    shared = ("-m", 1, "-o", "out/", "--model", model_file)
    assert_refused(run("superres", "x.png", *shared), 1, "'x.png' has 3 frames")
    assert run("superres", "x.png", "second.png", "--frame", 2, *shared).returncode == 0
    np.testing.assert_array_equal(
        read_image(tmp_path / "out" / "x_superres.png"),
        read_image(tmp_path / "out" / "second_superres.png"),
    )
    pair = ("score", "--cond", "x.png", "--target", "out/x_superres.png", "--model", model_file)
    assert_refused(run(*pair), 1, "'x.png' has 3 frames")
    moving = run(*pair, "--frame", 2)
    still = run(*pair[:2], "second.png", *pair[3:])
    assert moving.returncode == 0, moving.stderr
    assert moving.stdout == still.stdout
    assert read_provenance(tmp_path / "x.png") is None  # of an animation, too


def test_a_folder_goes_on_where_it_stopped(run, tmp_path, model_file):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "sub/c.png"):
        Image.fromarray(PHOTO).save(tmp_path / "in" / name)
    shared = ("superres", "in", "-r", "-m", 1, "--model")
    assert run(*shared, model_file, "-o", "out").returncode == 0
    assert_refused(run(*shared, model_file, "-o", "out"), 2, "exists")
    (tmp_path / "out" / "b_superres.png").unlink()
    before = (tmp_path / "out" / "a_superres.png").stat().st_mtime_ns
    done = run(*shared, model_file, "-o", "out", "--skip-existing", "--json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(r["input"]).name for r in records] == ["a.png", "b.jpg", "c.png"]
    assert [r["status"] for r in records] == ["skipped", "ok", "skipped"]
    assert records[0]["outputs"] == [{"rank": 1, "path": str(Path("out/a_superres.png"))}]
    assert (tmp_path / "out" / "a_superres.png").stat().st_mtime_ns == before
    # All done: no model is needed to say so.
    done = run(*shared, "./none", "-o", "out", "--skip-existing")
    assert done.returncode == 0
    assert done.stdout == b""
    assert b"in/a.png: skipped, out/a_superres.png exists\n" in done.stderr
    # Into the same folder, twice: the second time its own results are no inputs.
    for count in (3, 3):
        done = run(*shared, model_file, "--overwrite")
        assert len(done.stdout.splitlines()) == count
    assert b"3 earlier results left out" in done.stderr


def test_a_dry_run_reports_what_is_known_to_fail(run, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").touch()
    (tmp_path / "in" / f"{'x' * 245}.png").touch()
    done = run("superres", "in", "-o", "out", "--dry-run", "--json")
    assert done.returncode == 1
    statuses = [json.loads(line)["status"] for line in done.stdout.splitlines()]
    assert statuses == ["planned", "error"]
    assert done.stderr.startswith(b"error: cannot write ")
