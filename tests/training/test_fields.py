"""Training on measured fields: simulated rain, of which many cells are dry."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from small_fields import rain

from caflow_cli.checkpoint import read_info
from caflow_cli.config import Values
from caflow_cli.errors import CaflowError
from caflow_cli.model import CAFlow
from caflow_cli.records import read_toml
from caflow_cli.training import RunConfig, train
from caflow_cli.training.data import CENTER
from caflow_cli.training.resolve import build_config
from caflow_cli.training.sets import Batches, open_dataset

pytestmark = pytest.mark.usefixtures("without_curves")

STEP = 0.1  # mm/h, of the data


def stepped(side: int, seed: int) -> np.ndarray:
    """A field in mm/h with steps of 0.1."""
    return (STEP * np.rint(rain(side // 4, side // 4, seed) / STEP)).astype(np.float32)


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rain")
    description = json.dumps({"unit": "mm/h", "step": STEP, "in": "linear"})
    for day in range(4):
        (folder / f"day{day}").mkdir()
        for k in range(6):
            path = folder / f"day{day}" / f"{k}.tif"
            tifffile.imwrite(path, stepped(40, 10 * day + k), description=description)
    return folder


def config(data: Path, out: Path, *settings: str, **values) -> RunConfig:
    values = {"unit": "mm/h", "transform": "db", "zero": 0.1} | values
    tables = {"data": str(data), "out": str(out), "task": {"size": 32, "values": values}}
    small = ["optim.images=64", "optim.batch_size=4", "validate_every=8", "save_every=8"]
    return build_config(tables, [*small, *settings])


def test_a_run_on_fields_has_their_range_and_the_defaults_of_fields(days, tmp_path):
    run = config(days, tmp_path / "run")
    with open_dataset(run, "train") as fields:
        every = np.stack([fields.examples.read(row)[0] for row in range(len(fields))])
        assert len(fields) == 12
    found = run.task.values
    assert found == Values("mm/h", "db", float(every.min()), float(every.max()), 0.1)
    assert (run.task.reduce, run.crop, run.optim.lr, run.transpose) == (
        "mean",
        "random",
        2e-3,
        True,
    )
    assert (run.flow.anchor, run.flow.guide_net, run.optim.guide_first) == (
        "field",
        "censored",
        0.35,
    )
    assert config(days, tmp_path / "run", "optim.lr=0.001").optim.lr == 0.001
    stated = config(days, tmp_path / "run", low=0.0, high=200.0).task.values
    assert (stated.low, stated.high) == (0, 200)


def test_a_linear_scale_has_no_dry_cells(days, tmp_path):
    run = config(days, tmp_path / "run", transform="linear", zero=None)
    assert not run.flow.dry
    with open_dataset(run, "train") as fields:
        batch = Batches(fields, 4, 0, 8)(0)
    assert batch.cond.isfinite().all()
    assert (batch.cond >= 0).all()
    assert (batch.target > -0.5).all()


def test_a_pair_is_a_crop_and_its_means(days, tmp_path):
    run = config(days, tmp_path / "run")
    with open_dataset(run, "choose") as fields:
        noise = np.random.default_rng(0).random((1, 32, 32))
        v, y = fields.points(0, CENTER, 0, noise)
        stored = fields.examples.read(0)[0][4:36, 4:36]
    wet = stored >= np.float32(0.1)
    assert ((v[0] >= 0) == wet).all()
    assert np.allclose(v[0][~wet], noise[0][~wet] - 1)
    x = 0.1 * 10 ** (v[0] / 10)
    low = np.maximum(stored - STEP / 2, 0.1)
    assert np.allclose(x[wet], (low + noise[0] * (stored + STEP / 2 - low))[wet], rtol=1e-5)
    means = stored.reshape(8, 4, 8, 4).mean((1, 3)).repeat(4, 0).repeat(4, 1)
    assert np.isneginf(y[0])[means == 0].all()
    some = means > 0
    assert np.allclose(0.1 * 10 ** (y[0][some] / 10), means[some], rtol=1e-5)
    turned = fields.points(0, CENTER, 5, noise)
    assert np.array_equal(turned[1][0], y[0][:, ::-1].T)


def test_where_values_are_missing_the_target_is_dry_and_the_condition_filled(days, tmp_path):
    stored = stepped(32, 1) + np.float32(1)
    stored[5, 9] = math.nan
    for split in ("train", "val", "test"):
        (tmp_path / split).mkdir()
        tifffile.imwrite(tmp_path / split / "a.tif", stored)
    run = config(tmp_path, tmp_path / "run")
    with open_dataset(run, "choose") as fields:
        v, y = fields.points(0, CENTER, 0, np.full((1, 32, 32), 0.5))
    gone = np.zeros((32, 32), bool)
    gone[4:8, 8:12] = True
    assert (y[1] == gone).all()
    assert ((v[0] < 0) == gone).all()
    around = y[0][[3, 8, 5, 5], [9, 9, 7, 12]]
    assert np.allclose(y[0][gone], around.mean(), atol=0.01)


def test_the_stream_is_the_same_from_any_step(days, tmp_path):
    run = config(days, tmp_path / "run")
    with open_dataset(run, "train") as fields:
        stream = [Batches(fields, 4, seed, 8) for seed in (0, 0, 1)]
        first = [stream[0](step) for step in range(3)]
        again, other = stream[1](2), stream[2](2)
        for batches in stream:
            batches.close()
    assert torch.equal(first[2].target, again.target)
    assert torch.equal(first[2].cond, again.cond)
    assert not torch.equal(first[1].target, again.target)
    assert not torch.equal(first[2].target, other.target)


def test_a_run_learns_rain_and_resumes(days, tmp_path):
    """With the default architecture and rate no step is skipped."""
    out = tmp_path / "run"
    run = config(days, out, "optim.images=64", "optim.warmup=5")
    summary = train(run)
    assert (summary.steps, summary.skipped_steps) == (16, 0)
    began, *_, ended = [
        json.loads(line)["val_bits_per_dim"]
        for line in (out / "metrics.jsonl").read_text().splitlines()
        if '"validation"' in line
    ]
    assert ended < began
    model = CAFlow.load(out / "best.safetensors")
    assert model.config.task.values == run.task.values
    assert read_info(out / "best.safetensors").training["domain"] is None
    filed = read_toml(out / "config.toml")
    filed["optim"]["images"] = 72
    resumed = build_config(filed, resume=True)
    assert resumed.task == run.task
    assert train(resumed, resume=True).steps == 18


def test_fields_train_on_crops_and_guide_and_flows_both(days, tmp_path):
    for setting in ("optim.guide_first=1", "samples.share=0.2", "crop=whole"):
        with pytest.raises(CaflowError):
            config(days, tmp_path / "run", setting)
