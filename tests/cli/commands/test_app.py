"""`caflow app`, and that its files are those of the commands. The page: `tests/app/`."""

import importlib.util
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import helpers
import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.app.inputs import Fields, Limits
from caflow_cli.app.sessions import Models, Sessions
from caflow_cli.images import decode, read_provenance

SCORES = dict.fromkeys(["rank_value", "rank_score", "log_likelihood", "bits_per_dim"])


def test_without_the_extra_it_says_what_to_install(run, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = run("app", "--no-open")
    assert done.returncode == 3
    assert b"hint: pip install gradio" in done.stderr
    assert done.stdout == b""


@pytest.mark.parametrize("task", ["superres", "inpaint", "colorize"])
def test_its_files_are_those_that_the_command_writes(run, tmp_path, task):
    """Drawn in two turns, with alpha and a shape of temperatures: the same bytes."""
    config = helpers.task_config(task, scales=2, conditional="dual-glow")
    helpers.data_like_model(config, 2, size=32).save(tmp_path / f"{task}.safetensors")
    side = 8 if task == "superres" else 32
    rows, columns = np.indices((side, side)) * (32 // side)
    values = np.stack([rows * 7, columns * 7, rows + columns, 255 - rows * 4], -1)
    Image.fromarray(values.astype(np.uint8)).save(tmp_path / "my image.png")
    layer = np.zeros((64, 64, 4), np.uint8)
    layer[20:50, 10:40] = (150, 110, 110, 255)
    layers = [] if task == "superres" else [layer]
    (tmp_path / "page").mkdir()
    models = Models([str(tmp_path / f"{task}.safetensors")], torch.device("cpu"))
    sessions = Sessions(models, Limits(), tmp_path / "page")
    fields = Fields(
        model=f"{task}.safetensors",
        image=str(tmp_path / "my image.png"),
        layers=layers,
        tau="0.9/0.5",
        candidates=2,
        keep=2,
        seed=3,
    )
    *_, first = sessions.draw("a", fields)
    *_, last = sessions.more("a", replace(fields, candidates=1))
    if layers:
        shutil.copy(last["files"]["value"].pop(), tmp_path)  # the mask, or the hints
    assert "-m 2 -n 2" in first["command"]["value"]
    assert "-m 3 -n 2" in last["command"]["value"]
    done = run(*shlex.split(last["command"]["value"])[1:], "-o", "out/")
    assert done.returncode == 0, done.stderr
    assert len(last["files"]["value"]) == 2
    for path in last["files"]["value"]:
        name = path.rpartition("/")[2]
        ours = decode(path)
        commands = decode(tmp_path / "out" / name)
        # Up to the rounding of another batch size.
        assert np.abs(ours.image.values.astype(int) - commands.image.values).max() <= 1
        np.testing.assert_array_equal(ours.image.alpha, commands.image.alpha)
        record = read_provenance(Path(path))
        assert ("hinted_pixels" in record) == (task == "colorize")
        assert {**record, **SCORES} == {**read_provenance(tmp_path / "out" / name), **SCORES}
