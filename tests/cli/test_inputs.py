"""The images that arguments name, without a process."""

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from image_files import COLORS, encoded

from caflow_cli.cli.inputs import find_inputs
from caflow_cli.errors import CaflowError

from .scenes import touch


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*arguments: str, **options) -> list[str]:
    return [Path(source.name).as_posix() for source in find_inputs(arguments, **options)]


def refusal(*arguments: str) -> CaflowError:
    with pytest.raises(CaflowError) as caught:
        find_inputs(arguments)
    assert caught.value.exit_code == 2
    return caught.value


def test_a_folder_gives_its_images_in_natural_order():
    touch("d/img10.png", "d/img2.PNG", "d/img1.gif", "d/.hidden.png", "d/notes.txt", "d/s/x.jpg")
    touch("d/_.jpeg.tmp", "d/.cache/y.png")
    notes: list[str] = []
    found = find_inputs(["d"], note=notes.append)
    assert [s.name for s in found] == ["d/img1.gif", "d/img2.PNG", "d/img10.png"]
    assert all(s.found and s.folder == Path("d") and s.inside == Path() for s in found)
    assert [note.rpartition(": ")[2] for note in notes] == ["1 (see -r)", "2"]


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_links_to_folders_are_left_out_and_those_to_files_are_read():
    touch("d/a/x.png", "other/z.png")
    for link, target in (("a/up", ".."), ("out", "../other")):
        Path("d", link).symlink_to(target, target_is_directory=True)
    for link, target in (("self", "self"), ("gone", "nowhere"), ("real", "a/x"), ("piped", "pipe")):
        Path("d", f"{link}.png").symlink_to(f"{target}.png")
    os.mkfifo("d/pipe.png")
    found = find_inputs(["d"], recursive=True)
    images = ["d/gone.png", "d/real.png", "d/self.png", "d/a/x.png"]
    assert [Path(s.name).as_posix() for s in found] == images
    for broken in (found[0], found[2]):
        with pytest.raises(CaflowError) as caught:
            broken.read()
        assert caught.value.exit_code == 1
    assert names("d/out") == ["d/out/z.png"]  # named


def test_what_lies_aside_is_not_taken():
    touch("d/x.png", "d/out/x.png")
    assert names("d", recursive=True, aside=[Path("d/out")]) == ["d/x.png"]
    assert names("d", recursive=True, aside=[Path("d")]) == ["d/x.png", "d/out/x.png"]
    assert names("d/out", recursive=True, aside=[Path("d/out")]) == ["d/out/x.png"]
    assert names("d", recursive=True, aside=[Path("d/x.png")]) == ["d/out/x.png"]
    assert names("d/x.png", aside=[Path("d/x.png")]) == ["d/x.png"]


def test_arguments_keep_their_order_and_come_once():
    touch("d/1.png", "d/2.png", "z.png", "-x.png")
    assert names("z.png", "d/2.png", "d", "./z.png", "missing.png", "-x.png") == [
        *("z.png", "d/2.png", "d/1.png", "missing.png", "-x.png")
    ]


def test_globs_that_the_shell_left_alone(here):
    touch("i10.png", "i2.png", ".h.png", "d/deep/x.png", "i[1].png", "q/y.png")
    assert names("i*.png") == ["i2.png", "i10.png", "i[1].png"]
    assert names("**/x.png") == ["d/deep/x.png"]
    assert names("i[1].png") == ["i[1].png"]  # a file of that name
    assert names(str(here / "i?.png")) == [(here / "i2.png").as_posix()]
    assert names("q*") == ["q/y.png"]
    assert "'*.tif'" in refusal("*.tif").message


def test_folders_without_images():
    touch("d/notes.txt", "e/s/x.png", "x.png", "empty/.x.png")
    assert refusal("empty").message == "no images in the folder 'empty'"
    assert "-r" in refusal("e").hint
    assert "'d'" in refusal("d", "empty").message
    for argument in ("/", "example:dog"):
        refusal(argument)
    assert "'empty'" in refusal("x.png", "empty").message


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may search everything")
def test_a_folder_that_cannot_be_searched():
    touch("d/x.png", "d/s/y.png")
    Path("d/s").chmod(0)
    try:
        found = find_inputs(["d"], recursive=True)
        assert [Path(s.name).as_posix() for s in found] == ["d/x.png", "d/s/*"]
        with pytest.raises(CaflowError) as caught:
            found[1].read()
        assert caught.value.exit_code == 1
    finally:
        Path("d/s").chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="names have no * and no line breaks")
def test_a_file_may_be_called_anything():
    data = encoded(COLORS)
    for name in ("-", "example:face", "-x.png", "*.png", "é ß\n日.png"):
        Path(name).write_bytes(data)
        np.testing.assert_array_equal(find_inputs([f"./{name}"])[0].read().image.shown, COLORS)


def test_stdin_is_read_once(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(encoded(COLORS)), "utf-8")
    monkeypatch.setattr(sys, "stdin", stream)
    (source,) = find_inputs(["-", "-"])
    np.testing.assert_array_equal(source.read().image.shown, COLORS)
