"""Datasets of a run, in memory and mapped from a file."""

from __future__ import annotations

import pytest
import torch
from helpers import smooth_image

from caflow_cli.images import write_png
from caflow_cli.training.dataset import load_dataset
from caflow_cli.training.settings import build_config


@pytest.mark.parametrize("task", ["colorize", "paired"])
def test_mapped_sets_give_the_same_pictures(tmp_path, task):
    targets = smooth_image(6, 3, 16, seed=3)
    for side in ("A", "B"):
        (tmp_path / "data" / side).mkdir(parents=True)
        for index, image in enumerate(targets):
            picture = (image if side == "B" else 255 - image[:1].expand(3, -1, -1)).permute(1, 2, 0)
            write_png(tmp_path / "data" / side / f"{index}.png", picture.contiguous().numpy())
    values = {"data": str(tmp_path / "data"), "out": str(tmp_path / "run"), "task": {"size": 16}}
    values["optim"] = {"images": 8}
    memory, mapped = (
        load_dataset(build_config(values, [f"data_memory_gb={bound}"], task=task), "train")
        for bound in (1, 0)
    )
    assert memory.cond_channels == 1  # all of A are grey
    assert torch.equal(memory.targets, mapped.targets)
    for index in range(len(memory)):
        a, b = (e.pair(index, torch.Generator())[1] for e in (memory, mapped))
        assert (a == b).all()
    assert any((tmp_path / "run" / "cache").iterdir())
