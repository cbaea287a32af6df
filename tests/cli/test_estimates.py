"""What large pictures will take, before the work and in `--dry-run`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caflow_cli.cli import restore
from caflow_cli.cli.estimates import estimate_text, is_large
from caflow_cli.inference.estimate import Estimate

from .results import lines_of, only_record
from .scenes import save


def flat(path, height, width):
    Image.new("RGB", (width, height), (90, 120, 150)).save(path)
    return path


def test_large_is_what_is_read_or_drawn():
    assert is_large((3000, 4000), (64, 96))
    assert is_large((400, 400), (1600, 1600))
    assert not is_large((1000, 1000), (64, 64))


def test_a_text_says_tiles_or_windows():
    work = Estimate((8000, 6000), 70, 1, 1, 7e7, 20.0, 1.87e9)
    assert (
        estimate_text(work, 370.0)
        == "the model draws 8000x6000 pixels in 70 tiles, 1 candidate: about 6 min and 1.9 GB"
    )
    work = Estimate((64, 64), 1, 3, 30, 1e6, 5.0, 0.9e9)
    assert (
        estimate_text(work, 10.0)
        == "the model draws 3 windows of 64x64 pixels, 30 candidates: about 10 s and 0.9 GB"
    )


def test_a_dry_run_says_what_a_large_picture_takes(run, tmp_path, model_file):
    flat(tmp_path / "x.png", 400, 600)
    flags = ["-m", 3, "--model", model_file, "--dry-run"]
    done = run("superres", "x.png", *flags)
    assert done.stdout == b"x_superres.png\n"
    start, end = (
        b"x.png: the model draws 2400x1600 pixels in 6 tiles, 3 candidates: about ",
        b" GB, on one CPU core\n",
    )
    assert done.stderr.startswith(start)
    assert done.stderr.endswith(end)
    assert run("superres", "x.png", *flags, "-q").stderr == b""
    (line,) = lines_of(run("superres", "x.png", *flags, "--json"))
    found = line["estimate"]
    assert found["drawn"] == [2400, 1600]
    assert (found["tiles"], found["windows"], found["candidates"]) == (6, 1, 3)
    assert 3 * 3.84 * 8 < found["seconds"] < 3 * 3.84 * 16
    assert 0.5 < found["memory_gb"] < 2


def test_a_dry_run_counts_the_windows_of_a_large_pictures_hole(run, tmp_path, model_files):
    flat(tmp_path / "x.png", 1400, 1600)
    mask = np.zeros((1400, 1600), np.uint8)
    mask[700:704, 200:900] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    flags = ["--mask", "m.png", "--model", model_files["inpaint"], "--dry-run", "--json"]
    found = only_record(run("inpaint", "x.png", *flags))["estimate"]
    assert found["drawn"] == [32, 32]
    assert found["windows"] > 10


def test_a_dry_run_reads_no_pixel_and_knows_small_pictures_by_their_header(run, tmp_path):
    save(tmp_path / "x.png", 100, 100)
    cut = (tmp_path / "x.png").read_bytes()[:500]
    (tmp_path / "x.png").write_bytes(cut)
    done = run("superres", "x.png", "--dry-run", "--json")
    assert "estimate" not in only_record(done)
    assert done.stderr == b""


def test_what_is_too_large_is_told_by_a_dry_run(run, tmp_path, model_file):
    flat(tmp_path / "x.png", 3000, 4000)
    done = run("superres", "x.png", "--model", model_file, "--dry-run")
    assert done.returncode == 1
    assert done.stdout == b""
    error, hint = done.stderr.decode().splitlines()
    assert error.startswith("error: x.png: ")
    assert "--fit" in hint


@pytest.mark.parametrize("more", [[], ["-q"]])
def test_a_large_picture_says_what_it_takes_before_it_is_drawn(
    run, tmp_path, model_files, monkeypatch, more
):
    flat(tmp_path / "x.png", 1400, 1600)
    monkeypatch.setattr(restore, "_MOMENT", 0)
    monkeypatch.setattr("caflow_cli.inference.estimate.measured_rate", lambda model, work: 3.6e8)
    done = run("colorize", "x.png", "-m", 2, "--model", model_files["colorize"], *more)
    assert done.stdout == b"x_colorize.png\n"
    said = [line for line in done.stderr.decode().splitlines() if "GB" in line]
    seconds = 360 * 2 * 32 * 48
    assert len(said) == (not more)
    for line in said:
        assert line.startswith("x.png: the model draws 48x32 pixels, 2 candidates: about ")
        assert f"{seconds / 3600:.1f}" in line


def test_pictures_of_one_size_are_timed_once(run, tmp_path, model_files, monkeypatch):
    for name in ("x", "y"):
        flat(tmp_path / f"{name}.png", 1400, 1600)
    flat(tmp_path / "z.png", 1600, 1400)
    timed = []
    monkeypatch.setattr(restore, "_MOMENT", 0)
    monkeypatch.setattr(
        "caflow_cli.inference.estimate.measured_rate",
        lambda model, work: timed.append(work.drawn) or 3.6e8,
    )
    names = ["x.png", "y.png", "z.png"]
    done = run("colorize", *names, "-m", 1, "--batch-size", 1, "--model", model_files["colorize"])
    assert sum("GB" in line for line in done.stderr.decode().splitlines()) == 3
    assert timed == [(48, 32), (32, 48)]


@pytest.mark.parametrize(
    ("side", "white", "said"),
    [(31, 9, "the mask is 31x31, the picture 40x40"), (40, 0, "the mask is empty")],
)
def test_a_dry_run_refuses_the_masks_that_the_run_refuses(run, tmp_path, side, white, said):
    flat(tmp_path / "x.png", 40, 40)
    mask = np.zeros((side, side), np.uint8)
    mask[:white] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    done = run("inpaint", "x.png", "--mask", "m.png", "--dry-run")
    assert done.returncode == 1
    assert done.stdout == b""
    assert said in done.stderr.decode()


def test_a_dry_run_refuses_a_scale_that_the_model_does_not_reach(run, tmp_path):
    flat(tmp_path / "x.png", 40, 40)
    done = run("superres", "x.png", "--scale", 9, "--dry-run")
    assert done.returncode == 2
    assert b"--scale 9 is more than the model's 4" in done.stderr
    assert run("superres", "x.png", "--scale", 3, "--dry-run").returncode == 0


def test_a_dry_run_refuses_a_fit_that_the_run_refuses(run, tmp_path):
    flat(tmp_path / "x.png", 40, 60)
    done = run("superres", "x.png", "--fit", "50x50", "--dry-run")
    assert done.returncode == 1
    said = b"error: x.png: the picture is 60x40, and --fit 50x50 would make it smaller"
    assert done.stderr.startswith(said)
    assert run("superres", "x.png", "--fit", "61x50", "--dry-run").returncode == 0


def test_a_dry_run_reads_a_file_once(run, tmp_path, model_file, monkeypatch):
    file, read, count = flat(tmp_path / "x.png", 400, 600), Path.read_bytes, []

    def counting(path):
        count.extend([path] if path.name == file.name else [])
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", counting)
    flags = ["--fit", "1200x1200", "--model", model_file, "--dry-run", "--json"]
    assert "estimate" in only_record(run("superres", "x.png", *flags))
    assert len(count) == 1


def test_a_dry_run_says_that_a_hole_is_too_wide_for_detail(run, tmp_path):
    flat(tmp_path / "x.png", 120, 120)
    mask = np.zeros((120, 120), np.uint8)
    mask[20:80, 20:80] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    done = run("inpaint", "x.png", "--mask", "m.png", "--dry-run")
    assert done.stdout == b"x_inpaint.png\n"
    assert done.stderr.startswith(b"x.png: the hole is more than 32 pixels wide")
    model = ["--model", "faces-inpaint"]
    assert run("inpaint", "x.png", "--mask", "m.png", "--dry-run", *model).stderr == b""
