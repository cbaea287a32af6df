"""Training on images of 16 bits per channel."""

from __future__ import annotations

from contextlib import closing

import helpers
import numpy as np
import pytest
import torch
from workers import tiny

from caflow_cli.errors import CaflowError
from caflow_cli.flows import noise_draws
from caflow_cli.images import gray
from caflow_cli.layers import points_of
from caflow_cli.model import CAFlow, bits_per_dim
from caflow_cli.records import parse
from caflow_cli.training import RunConfig, train
from caflow_cli.training.resolve import merged
from caflow_cli.training.sets import Batches, open_dataset

pytest.importorskip("tifffile")
imagecodecs = pytest.importorskip("imagecodecs")

FINE = 1 / 256


@pytest.fixture
def scans(tmp_path):
    """Nine images of 16 bits and three of 8, of 20x20."""
    for split, count in (("train", 9), ("val", 3)):
        folder = tmp_path / "scans" / split
        folder.mkdir(parents=True)
        eight = helpers.smooth_image(count, 3, 20, seed=count).permute(0, 2, 3, 1).numpy()
        low = np.random.default_rng(count).integers(0, 256, eight.shape)
        for index, (high, rest) in enumerate(zip(eight, low, strict=True)):
            values = high if index == 2 else (256 * high.astype(np.uint16) + rest)
            stored = np.ascontiguousarray(values, np.uint8 if index == 2 else np.uint16)
            data = imagecodecs.png_encode(stored)
            (folder / f"{index}.png").write_bytes(data)
    return tmp_path / "scans"


def config(scans, *settings) -> RunConfig:
    values = tiny(scans, scans.parent / "run", depth=16)
    return parse(RunConfig, merged(values, ["optim.images=16", "crop=random", *settings]))


@pytest.mark.parametrize("task", ["superres", "inpaint", "colorize"])
def test_points_of_a_batch_lie_in_bins_of_16_bits(scans, task):
    channels = {"superres": 3, "inpaint": 4, "colorize": 1}[task]
    run = config(scans, f"task.name={task}", f"flow.cond_channels={channels}")
    with open_dataset(run, "train") as data:
        targets, conditions = data.held_out(torch.arange(len(data)))
        with closing(Batches(data, 8, 0, 1, width=run.width)) as batches:
            batch = batches(0)
    assert targets.dtype == conditions.dtype == torch.uint16
    assert (targets.int() % 257 == 0).flatten(1).all(1).sum() == 1
    stored = batch.target / FINE
    assert torch.equal(stored, stored.floor())
    assert (stored % 256 != 0).any()
    assert torch.equal(((batch.target + batch.noise) / FINE).floor(), stored)
    assert 0.4 < float((batch.noise / FINE).mean()) < 0.6
    if task == "inpaint":
        mask = batch.cond[:, 3].floor()
        assert set(mask.unique().tolist()) == {0, 255}
        hole = (mask == 255)[:, None].expand(-1, 3, -1, -1)
        assert set(batch.cond[:, :3].floor()[hole].tolist()) == {128}
        known = (batch.cond[:, :3] / FINE).floor()[~hole]
        assert torch.equal(known, stored[~hole])


@pytest.mark.parametrize(
    ("task", "anchor"), [("superres", "enlarged"), ("inpaint", "fill"), ("colorize", "luminance")]
)
def test_the_loss_is_the_score_at_the_same_points(task, anchor):
    model = helpers.data_like_model(helpers.task_config(task, anchor=anchor), seed=2, size=32)
    eight, cond = helpers.image_pair(model, 2, 32)
    deep = (eight.int() * 256 + 77).to(torch.uint16)
    cond = cond.int() if task == "inpaint" else cond.int() * 256 + 31
    if task == "inpaint":
        cond[:, :3] = deep.int()
    if task == "colorize":
        cond = torch.stack([torch.from_numpy(gray(x.permute(1, 2, 0).numpy())) for x in deep])
        cond = cond[:, None].int()
    cond = cond.to(torch.uint16)
    (noise,) = next(zip(noise_draws(tuple(deep.shape[1:])), strict=False))
    noise = (noise * 256).floor() / 256 * FINE
    points = points_of(cond.float(), 0.5, FINE, has_mask=cond.shape[1] == 4)
    target = deep.float() * FINE
    with torch.no_grad():
        terms = model(target, points, noise.expand_as(target), width=FINE)
        wrong = model(target, points, noise.expand_as(target))
    scored = model.log_prob(deep, cond)
    torch.testing.assert_close(terms.log_prob, scored, rtol=1e-4, atol=0.02)
    if task != "superres":
        assert (wrong.log_prob - scored).abs().min() > 10


def test_a_run_validates_on_16_bits(scans):
    run = config(scans, "task.name=colorize", "flow.cond_channels=1")
    summary = train(run)
    model = CAFlow.load(scans.parent / "run" / "last.safetensors")
    with open_dataset(run, "choose") as data:
        targets, conditions = data.held_out(torch.arange(len(data)))
    with torch.no_grad():
        bits = bits_per_dim(model.log_prob(targets, conditions).mean(), targets[0].numel())
    assert summary.val_bits_per_dim == pytest.approx(float(bits), abs=1e-3)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("flow.dequantization=variational", "variational noise is learned on 8 bits"),
        ("task.degrade=photo", "photo inputs are compressed"),
    ],
)
def test_what_is_of_8_bits_alone_is_refused(scans, setting, reason):
    with pytest.raises(CaflowError) as caught:
        config(scans, setting)
    assert "depth is 16" in caught.value.message
    assert reason in caught.value.hint
