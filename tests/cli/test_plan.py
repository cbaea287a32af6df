"""Which file each input becomes, without a process."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from image_files import COLOURS

from caflow_cli.cli.options import Restoration
from caflow_cli.cli.plan import Plan, make_plan
from caflow_cli.errors import CaflowError
from caflow_cli.images import Encoder, encode_png


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str, data: bytes = b"") -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data)


DEFAULTS = {field.name: field.default.default for field in fields(Restoration)}  # Typer's


def planned(*inputs: str, **options) -> Plan:
    return make_plan(inputs, "superres", Restoration(**{**DEFAULTS, **options}))


def results(*inputs: str, **options) -> list[str]:
    return [path.as_posix() for job in planned(*inputs, **options).jobs for path in job.outputs]


def refusal(*inputs: str, **options) -> CaflowError:
    with pytest.raises(CaflowError) as caught:
        planned(*inputs, **options)
    assert caught.value.exit_code == 2
    assert caught.value.hint
    return caught.value


def test_names():
    assert results("x.png") == ["x_superres.png"]
    assert results("d/x.tar.png") == ["d/x.tar_superres.png"]
    assert results("d/x", keep=2) == ["d/x_superres_01.png", "d/x_superres_02.png"]
    assert results("x.png", keep=100)[-1] == "x_superres_100.png"
    assert results("d/x.png", output="out/") == ["out/x_superres.png"]
    assert results("d/x.png", output="y.PNG") == ["y.PNG"]
    assert results("example:face") == ["face_superres.png"]
    Path("there").mkdir()
    assert results("d/x.png", output="there") == ["there/x_superres.png"]
    assert results("d/x.png", "y.png", output="new") == ["new/x_superres.png", "new/y_superres.png"]


def test_folders_are_mirrored():
    touch("g/1.png")
    assert results("g/*.png", output="new") == ["new/1_superres.png"]
    touch("d/a/x.png", "d/x.png")
    assert results("d", recursive=True, output="out") == [
        "out/a/x_superres.png",
        "out/x_superres.png",
    ]
    assert results("d", recursive=True) == ["d/a/x_superres.png", "d/x_superres.png"]


def test_pictures_that_differ_in_their_suffix_alone_keep_it():
    touch("d/a.jpg", "d/a.png", "d/a", "d/b.png", "d/A.tif")
    assert results("d", output="out/") == [
        *("out/a_jpg_superres.png", "out/a_png_superres.png"),
        *("out/A_tif_superres.png", "out/b_superres.png"),
    ]
    assert results("d/a.jpg", "d/a") == ["d/a_jpg_superres.png", "d/a_superres.png"]
    assert "would both be written" in refusal("d/a.png", "e/a.png", output="out/").message
    touch("d/a_jpg.png")
    assert "would both be written" in refusal("d").message


def test_names_that_a_file_system_may_take_for_one(monkeypatch):
    # NFC and NFD of é: two files here, one on macOS
    inputs = ("d/\u00e9.png", "e/e\u0301.png", "f/X.png", "g/x.png")
    assert len(results(*inputs, output="out/")) == 4
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "would both be written" in refusal(*inputs[:2], output="out/").message
    assert "would both be written" in refusal(*inputs[2:], output="out/").message
    touch("X_superres.png")
    assert "is an input" in refusal("X_superres.png", "x.png", output=None, overwrite=True).message


def test_existing_files_are_refused_replaced_or_skipped():
    touch("x.png", "x_superres.png", "y.png")
    error = refusal("x.png")
    assert error.message == "'x_superres.png' exists"
    assert "--overwrite or --skip-existing" in error.hint
    assert results("x.png", overwrite=True) == ["x_superres.png"]
    jobs = planned("x.png", "y.png", skip_existing=True).jobs
    assert [job.skipped for job in jobs] == [True, False]
    touch("x_superres_01.png")
    (job,) = planned("x.png", skip_existing=True, keep=2).jobs
    assert not job.skipped
    assert "contradict" in refusal("x.png", overwrite=True, skip_existing=True).message
    Path("z_superres.png").mkdir()
    assert "is a folder" in refusal("z.png", overwrite=True).message


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_an_output_is_never_an_input():
    touch("x.png", "d/x.png")
    for name in ("x.png", "./x.png", "d/../x.png"):
        assert "is an input" in refusal("x.png", output=name, overwrite=True).message
    Path("link.png").symlink_to("x.png")
    assert "is an input" in refusal("x.png", output="link.png", overwrite=True).message
    Path("x_superres.png").symlink_to("x.png")
    assert "is an input" in refusal("x.png", overwrite=True).message
    Path("broken.png").symlink_to("nowhere")
    assert "exists" in refusal("x.png", output="broken.png").message


def test_a_rerun_over_a_folder_leaves_its_results_out():
    ours = encode_png(COLOURS, '{"task": "superres"}')
    touch("d/x.png", "d/x_superres.png", "d/x_superres_02.png", "d/a_jpg_superres.png", "d/a.jpg")
    touch("d/gone_superres.png", data=ours)
    touch("d/holiday_superres.png", "d/x_colorize.png", data=encode_png(COLOURS))
    found = planned("d", overwrite=True)
    assert [Path(j.name).name for j in found.jobs] == [
        *("a.jpg", "holiday_superres.png", "x.png", "x_colorize.png")
    ]
    assert found.notes == ["4 earlier results left out"]
    # A folder of results only is a folder of pictures, as long as its results go elsewhere.
    assert len(results("d", output="out/")) == 5
    assert results("d/x_superres.png", output="o/") == ["o/x_superres_superres.png"]
    for path in Path("d").iterdir():
        if path.name != "gone_superres.png":
            path.unlink()
    assert "results of caflow superres" in refusal("d").message
    assert results("d", output="out/") == ["out/gone_superres_superres.png"]


def test_formats():
    assert planned("x.png").encoder == Encoder("png")
    assert results("x.png", format="webp") == ["x_superres.webp"]
    assert results("x.png", "y.png", format="tiff", output="o/") == [
        *("o/x_superres.tif", "o/y_superres.tif")
    ]
    for name, format in (("a.jpeg", "jpg"), ("a.TIFF", "tiff"), ("a.webp", "webp")):
        assert planned("x.png", output=name).encoder.format == format
    assert planned("x.png", output="a.dat", format="png").encoder.format == "png"
    assert planned("x.png", output="a.jpg", quality=80, no_provenance=True).encoder == Encoder(
        "jpg", 80, False
    )
    assert "is not that of a format" in refusal("x.png", output="a.gif").message
    error = refusal("x.png", output="a.png", format="jpg")
    assert (error.message, error.hint) == ("'a.png' does not have a suffix of jpg", "-o a.jpg")
    assert "'bmp'" in refusal("x.png", format="bmp").message
    assert "lossless" in refusal("x.png", quality=90).message


def test_stdout_takes_one_picture(monkeypatch):
    (job,) = planned("x.png", output="-", format="jpg").jobs
    assert job.outputs == []
    assert "one image, not 2" in refusal("x.png", "y.png", output="-").message
    assert "one image, not 3" in refusal("x.png", output="-", keep=3).message
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "terminal" in refusal("x.png", output="-").message


def test_one_file_for_several():
    error = refusal("x.png", "y.png", output="out.png")
    assert (error.message, error.hint) == ("-o out.png is one file for 2 inputs", "-o out/")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other limits")
def test_a_name_too_long_stops_all_only_where_it_was_named():
    long = "x" * 250 + ".png"
    assert refusal(long).message.startswith("cannot write 'xxx")
    touch(f"d/{long}", "d/y.png")
    jobs = planned("d").jobs
    assert [job.source.problem is None for job in jobs] == [False, True]
    assert jobs[0].source.problem.exit_code == 1


def test_further_outputs_claim_their_files():
    touch("x.png", "there.png")
    claims = planned("x.png").claims
    claims.claim(Path("grid.png"), "--grid", False)
    for name, message in (
        ("grid.png", "would both"),
        ("x.png", "is an input"),
        ("x_superres.png", "would both"),
        ("there.png", "exists"),
    ):
        with pytest.raises(CaflowError, match=message) as caught:
            claims.claim(Path(name), "--uncertainty", False, option="--uncertainty")
        assert "choose another --uncertainty" in caught.value.hint
        assert "--skip-existing" not in caught.value.hint


def test_writing():
    touch("x.png", "x_superres_01.png", data=b"old")
    keeping = planned("x.png", keep=2, skip_existing=True)
    for path in keeping.jobs[0].outputs:
        keeping.write(path, b"new")
    assert Path("x_superres_01.png").read_bytes() == b"old"
    assert Path("x_superres_02.png").read_bytes() == b"new"
    fresh = planned("x.png", output="a/b/")
    touch("a/b/x_superres.png", data=b"of another program")
    with pytest.raises(CaflowError, match="in the meantime"):
        fresh.write(fresh.jobs[0].outputs[0], b"new")
    assert Path("a/b/x_superres.png").read_bytes() == b"of another program"
    replacing = planned("x.png", output="a/b/", overwrite=True)
    replacing.write(replacing.jobs[0].outputs[0], b"new")
    assert Path("a/b/x_superres.png").read_bytes() == b"new"
    touch("y.png", data=encode_png(COLOURS))
    plan_of_y = planned("y.png")
    np.testing.assert_array_equal(plan_of_y.jobs[0].source.read().rgb, COLOURS)


def test_a_folder_that_cannot_be_written_to_stops_all_or_its_own_pictures(monkeypatch, here):
    access = os.access
    monkeypatch.setattr(  # root may write everywhere
        os, "access", lambda path, mode: Path(path).name != "fixed" and access(path, mode)
    )
    touch("in/a.png", "in/b.png", "in/fixed/c.png")
    Path("fixed").mkdir()
    for output in ("fixed", "fixed/new"):
        assert "'fixed' is not a writable folder" in refusal("in", output=output).message
    problems = [job.source.problem for job in planned("in", recursive=True).jobs]
    assert [problem and problem.exit_code for problem in problems] == [None, None, 1]
