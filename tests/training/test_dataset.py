"""Datasets of a run, in memory and mapped from a file."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import smooth_image

from caflow_cli.images import write_png
from caflow_cli.tasks.base import grey
from caflow_cli.training.batches import Batches
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


@pytest.mark.parametrize("channels", [1, 3])
def test_parts_of_a_pair_are_of_one_place(tmp_path, channels):
    """Conditions are negatives of the targets, or of their grey."""
    for split, count in (("train", 3), ("val", 2), ("test", 1)):
        for side in ("A", "B"):
            (tmp_path / "data" / split / side).mkdir(parents=True)
        for index, image in enumerate(smooth_image(count, 3, 40, seed=3)):
            target = image.permute(1, 2, 0).contiguous().numpy()
            negative = 255 - (grey(target)[..., None].repeat(3, 2) if channels == 1 else target)
            for side, picture in (("A", negative), ("B", target)):
                write_png(tmp_path / "data" / split / side / f"{index}.png", picture)
    values = {"data": str(tmp_path / "data"), "out": str(tmp_path / "run"), "crop": "random"}
    values |= {"task": {"size": 16, "native": True}, "optim": {"images": 8}, "crop_native": 1.0}
    config = build_config(values, task="paired")
    train, val = (load_dataset(config, split) for split in ("train", "val"))
    assert train.cond_channels == channels
    batch = Batches(train, config.optim.batch_size, seed=1, flip=True)(0)
    parts = zip(batch.target, batch.cond.floor(), strict=True)
    held_out = zip(*val.held_out(torch.arange(2)), strict=True)
    for target, condition in (*parts, *held_out):
        assert target.shape[1:] == condition.shape[1:] == (16, 16)
        image = target.byte().permute(1, 2, 0).contiguous().numpy()
        expected = 255 - (grey(image)[..., None] if channels == 1 else image)
        assert (condition.permute(1, 2, 0).byte().numpy() == expected).all()


def test_holes_come_from_masks_and_those_of_validation_are_fixed_and_from_others(tmp_path):
    """Masks of training are lines of two pixels, those of validation dots of two."""
    for split, count in (("train", 8), ("val", 8), ("test", 1)):
        for kind in ("pictures", "masks"):
            (tmp_path / kind / split).mkdir(parents=True)
        for index, image in enumerate(smooth_image(count, 3, 16, seed=3)):
            picture = image.permute(1, 2, 0).contiguous().numpy()
            write_png(tmp_path / "pictures" / split / f"{index}.png", picture)
        mask = np.zeros((64, 64, 3), np.uint8)
        mask[31:33, 31 if split == "val" else 0 : 33 if split == "val" else 64] = 255
        write_png(tmp_path / "masks" / split / "0.png", mask)
    values = {"data": str(tmp_path / "pictures"), "out": str(tmp_path / "run")}
    values |= {"masks": str(tmp_path / "masks"), "mask_share": 1.0, "task": {"size": 16}}
    values["optim"] = {"images": 8}
    config = build_config(values, task="inpaint")
    train, val = (load_dataset(config, split) for split in ("train", "val"))
    shares = []
    for index in range(8):
        target, cond = train.pair(index, torch.Generator().manual_seed(index))
        hole = cond[3] == 255
        assert (cond[:3, hole] == 128).all()
        assert (cond[:3, ~hole] == target[:, ~hole]).all()
        shares.append(hole.mean())
    assert max(shares) < 0.25  # a line of two pixels, enlarged at most twice
    every = torch.arange(8)
    conditions = val.held_out(every)[1]
    assert torch.equal(conditions, load_dataset(config, "val").held_out(every)[1])
    assert np.mean(shares) > 0.1
    assert (conditions[:, 3] == 255).sum((1, 2)).max() <= 5 * 5
    assert len({hole.numpy().tobytes() for hole in conditions[:, 3]}) == 8
    drawn = load_dataset(build_config({**values, "masks": None}, task="inpaint"), "val")
    assert not torch.equal(drawn.held_out(every)[1], conditions)
