"""`caflow app`, and that its files are those of the commands. The page: `tests/app/`."""

from __future__ import annotations

import importlib.util
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.app.desk import Desk
from caflow_cli.app.given import Painting
from caflow_cli.app.limits import Limits
from caflow_cli.app.models import Models
from caflow_cli.app.work import Settings


def test_help_imports_neither_gradio_nor_torch():
    code = (
        "import sys\nsys.argv = ['caflow', 'app', '--help']\n"
        "from caflow_cli.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('gradio', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--port" in done.stdout
    assert done.stdout.endswith("[]\n")


def test_without_the_extra_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = run("app", "--no-open")
    assert done.returncode == 3
    assert b'hint: pip install "caflow-cli[app]"' in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize("task", ["superres", "colorize", "inpaint", "paired"])
def test_its_files_are_those_that_the_command_writes(run, tmp_path, model_files, task):
    """Drawn in two turns, with alpha and a shape of temperatures: the same bytes."""
    shutil.copy(model_files[task], tmp_path / f"{task}.safetensors")
    side = 8 if task == "superres" else 32
    rows, columns = np.indices((side, side)) * (32 // side)
    values = np.stack([rows * 7, columns * 7, rows + columns, 255 - rows * 4], -1)
    Image.fromarray(values.astype(np.uint8)).save(tmp_path / "my picture.png")
    layer = np.zeros((64, 64, 4), np.uint8)
    layer[20:50, 10:40, 3] = 255
    painting = Painting([layer]) if task == "inpaint" else Painting()
    (tmp_path / "desk").mkdir()
    models = Models([str(tmp_path / f"{task}.safetensors")], torch.device("cpu"))
    desk = Desk(models, Limits(), tmp_path / "desk")
    first_two, one_more = (Settings("0.9/0.7/0.5", count, 2, 3) for count in (2, 1))
    picture = str(tmp_path / "my picture.png")
    *_, first = desk.draw("a", f"{task}.safetensors", picture, painting, first_two)
    *_, last = desk.more("a", f"{task}.safetensors", picture, one_more)
    for path in last.painted:  # the mask
        shutil.copy(path, tmp_path)
    assert "-m 2 -n 2" in first.command
    assert "-m 3 -n 2" in last.command
    done = run(*shlex.split(last.command)[1:], "-o", "out/")
    assert done.returncode == 0, done.stderr
    assert len(last.files) == 2
    for path in last.files:
        name = path.rpartition("/")[2]
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "desk" / path).read_bytes()
