"""Which file each input becomes, and what is refused, without a process."""

import os
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from caflow_cli.cli.console import Console
from caflow_cli.cli.drawing import Drawing
from caflow_cli.cli.edits import Scaling, parsed_scale
from caflow_cli.cli.output import write_outputs
from caflow_cli.cli.plan import Job, make_plan
from caflow_cli.errors import CaflowError
from caflow_cli.images import Encoder
from caflow_cli.images.crop import WHOLE
from caflow_cli.restoration import prepare
from caflow_cli.sampling import Sampling
from caflow_cli.tasks.arguments import as_input

from .scenes import touch


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


DEFAULTS = {  # Typer's
    field.name: field.default.default for field in fields(Drawing) if field.name != "sampling"
}


def given(keep: int = 1, **options) -> Drawing:
    return Drawing(**{**DEFAULTS, **options}, sampling=Sampling(keep=keep))


def planned(*inputs: str, **options) -> list[Job]:
    return make_plan(Console(command="superres"), inputs, given(**options))


def results(*inputs: str, **options) -> list[str]:
    return [path.as_posix() for job in planned(*inputs, **options) for path in job.outputs]


def refusal(*inputs: str, **options) -> str:
    with pytest.raises(CaflowError) as caught:
        planned(*inputs, **options)
    assert caught.value.exit_code == 2
    return f"{caught.value.message}; {caught.value.hint}"


def test_names():
    touch("g/1.png")
    Path("there").mkdir()
    for inputs, options, names in (
        ("x.png", {}, "x_superres.png"),
        ("d/x.tar.png", {}, "d/x.tar_superres.png"),
        ("d/x", {"keep": 2}, "d/x_superres_01.png d/x_superres_02.png"),
        ("d/x.png", {"output": "out/"}, "out/x_superres.png"),
        ("d/x.png", {"output": "y.PNG"}, "y.PNG"),
        ("d/x.png", {"output": "there"}, "there/x_superres.png"),
        ("d/x.png y.png", {"output": "new"}, "new/x_superres.png new/y_superres.png"),
        ("g/*.png", {"output": "new"}, "new/1_superres.png"),
        ("example:face", {}, "face_superres.png"),
        ("x.png", {"output": "new"}, "new/x_superres.png"),
        ("x.png", {"format": "webp"}, "x_superres.webp"),
        ("x.png y.png", {"format": "tif", "output": "o/"}, "o/x_superres.tif o/y_superres.tif"),
    ):
        assert results(*inputs.split(), **options) == names.split()
    assert results("x.png", keep=100)[-1] == "x_superres_100.png"


def test_folders_are_mirrored():
    touch("d/a/x.png", "d/x.png")
    mirrored = ["out/x_superres.png", "out/a/x_superres.png"]
    assert results("d", recursive=True, output="out") == mirrored
    assert results("d", recursive=True) == ["d/x_superres.png", "d/a/x_superres.png"]


def test_images_that_differ_in_their_suffix_alone_keep_it():
    touch("d/a.jpg", "d/a.png", "d/a", "d/b.png", "d/A.tif")
    assert results("d", output="out/") == [
        *("out/a_jpg_superres.png", "out/a_png_superres.png"),
        *("out/A_tif_superres.png", "out/b_superres.png"),
    ]
    assert results("d/a.jpg", "d/a") == ["d/a_jpg_superres.png", "d/a_superres.png"]
    assert "is that of" in refusal("d/a.png", "e/a.png", output="out/")
    touch("d/a_jpg.png")
    assert "is that of" in refusal("d")


def test_names_that_a_file_system_may_take_for_one(monkeypatch):
    # NFC and NFD of é: two files here, one on macOS
    inputs = ("d/\u00e9.png", "e/e\u0301.png", "f/X.png", "g/x.png")
    assert len(results(*inputs, output="out/")) == 4
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "is that of" in refusal(*inputs[:2], output="out/")
    assert "is that of" in refusal(*inputs[2:], output="out/")
    touch("X_superres.png")
    assert "is an input" in refusal("X_superres.png", "x.png", overwrite=True)


def test_existing_files_are_refused_replaced_or_skipped():
    touch("x.png", "x_superres.png", "y.png")
    assert refusal("x.png").startswith("'x_superres.png' exists; add --overwrite or --skip-existin")
    assert results("x.png", overwrite=True) == ["x_superres.png"]
    jobs = planned("x.png", "y.png", skip_existing=True)
    assert [job.skipped for job in jobs] == [True, False]
    touch("x_superres_01.png")
    (job,) = planned("x.png", skip_existing=True, keep=2)
    assert not job.skipped
    for other in ({"overwrite": True}, {"grid": "g.png"}, {"uncertainty": "u.png"}):
        assert "cannot be used together" in refusal("x.png", skip_existing=True, **other)
    Path("z_superres.png").mkdir()
    assert "is a folder" in refusal("z.png", overwrite=True)


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_an_output_is_never_an_input():
    touch("x.png", "d/x.png")
    Path("link.png").symlink_to("x.png")
    Path("x_superres.png").symlink_to("x.png")
    Path("broken.png").symlink_to("nowhere")
    for name in ("x.png", "./x.png", "d/../x.png", "link.png", None):
        assert "is an input" in refusal("x.png", output=name, overwrite=True)
    assert "exists" in refusal("x.png", output="broken.png")


def test_a_rerun_over_a_folder_leaves_its_results_out(capsys):
    touch("d/x.png", "d/x_superres.png", "d/x_superres_02.png", "d/a_jpg_superres.png", "d/a.jpg")
    touch("d/holiday_superres.png", "d/x_colorize.png")
    found = planned("d", overwrite=True)
    assert [job.source.path.name for job in found] == [
        *("a.jpg", "holiday_superres.png", "x.png", "x_colorize.png")
    ]
    assert capsys.readouterr().err.endswith("of other inputs left out: 3\n")
    assert results("d/x_superres.png", output="o/") == ["o/x_superres_superres.png"]  # named


def test_formats():
    for name, format in (("a.jpeg", "jpg"), ("a.TIFF", "tiff"), ("a.webp", "webp")):
        assert planned("x.png", output=name)[0].encoder.format == format
    jpg = planned("x.png", output="a.jpg", quality=80, no_provenance=True)[0].encoder
    assert jpg == Encoder("jpg", 80, False)
    assert "does not fit png; -o a.png" in refusal("x.png", output="a.gif")
    assert "does not fit jpg; -o a.jpg" in refusal("x.png", output="a.png", format="jpg")
    assert "'bmp'" in refusal("x.png", format="bmp")
    assert "lossless" in refusal("x.png", quality=90)


def test_an_image_from_stdin_goes_to_stdout_unless_a_file_or_more_is_wanted(monkeypatch):
    assert results("-") == []
    named = ["stdin_superres.png"]
    for options in ({"grid": "g.png"}, {"uncertainty": "u.png"}):
        assert results("-", **options) == named
    assert results("-", output="out.png") == ["out.png"]
    assert len(results("-", keep=2)) == 2
    assert results("-", "x.png") == ["stdin_superres.png", "x_superres.png"]
    assert results("x.png") == ["x_superres.png"]
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert results("-") == named


def test_one_file_or_stdout_takes_one_image(monkeypatch):
    (job,) = planned("x.png", output="-", format="jpg")
    assert job.outputs == []
    assert "one image, not 2" in refusal("x.png", "y.png", output="-")
    assert "one image, not 3" in refusal("x.png", output="-", keep=3)
    assert "one file for 2 inputs; -o out/" in refusal("x.png", "y.png", output="out.png")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "terminal" in refusal("x.png", output="-")


def test_a_folder_that_is_not_writable_stops_all(monkeypatch):
    access = os.access
    monkeypatch.setattr(  # root may write everywhere
        os, "access", lambda path, mode: Path(path).name != "fixed" and access(path, mode)
    )
    touch("in/b.png", "in/fixed/c.png")
    for output in ("in/fixed", "in/fixed/new", None):
        assert "no access" in refusal("in", output=output, recursive=True)


def test_a_sheet_claims_its_file():
    touch("x.png", "there.png")
    for name, message, option in (
        ("x.png", "is an input", "--grid"),
        ("y.png", "the output 'y.png' of 'x.png' is that of '--grid', too", "-o"),
        ("there.png", "exists", "--grid"),
        ("m.jpg", "writes a PNG", "--grid"),
    ):
        with pytest.raises(CaflowError, match=message) as caught:
            planned("x.png", output="y.png", grid=name)
        assert caught.value.exit_code == 2
        assert option in caught.value.hint
    names = [f"{k}.png" for k in range(101)]
    touch(*names)
    with pytest.raises(CaflowError, match="at most 100 images, not 101"):
        planned(*names, grid="m.png")


def test_writing_keeps_or_replaces_what_another_program_wrote():
    (job,), console = planned("x.png", output="a/b/y.png"), Console()
    path, written = Path("a/b/y.png"), {1: str(Path("a/b/y.png"))}
    assert write_outputs(job, [b"new"], given(), console) == written
    path.write_bytes(b"of another program")
    with pytest.raises(CaflowError, match="in the meantime"):
        write_outputs(job, [b"new"], given(), console)
    assert write_outputs(job, [b"new"], given(skip_existing=True), console) == {}
    assert path.read_bytes() == b"of another program"
    assert write_outputs(job, [b"new"], given(overwrite=True), console) == written
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("scale", "written"),
    [
        ("2", (60, 40)),
        ("2.5", (75, 50)),
        ("90x600", (90, 60)),
        ("600X50", (75, 50)),
        ("300×300", (300, 200)),
    ],
)
def test_sizes(small_model, scale, written):
    image = np.zeros((20, 30, 3), np.uint8)
    wanted = Scaling(scale=parsed_scale(scale)).wanted(image, {}, WHOLE)
    (edit,) = prepare(small_model, as_input(image), options=wanted).edits
    assert edit.as_json() == {"drawn": (120, 80), "written": written, "filter": "lanczos"}


def test_what_is_no_size_is_refused():
    for scale in ("1", "0", "65", "-2", "nan", "inf", "0x9", "9x", "x", "9x9x9", ""):
        with pytest.raises(CaflowError) as caught:
            parsed_scale(scale)
        assert caught.value.exit_code == 2
    for box in ("30x30", "30x10"):
        with pytest.raises(CaflowError, match="30x20, already fills"):
            Scaling(scale=parsed_scale(box)).wanted(np.zeros((20, 30, 3), np.uint8), {}, WHOLE)
