"""Whole runs, small ones: a two-scale model on generated pictures."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from caflow_cli.errors import CaflowError
from caflow_cli.model import load_checkpoint
from caflow_cli.training import train
from caflow_cli.training.config import apply_settings

BATCH = 8


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smooth random gradients, 32×32: 40 to train on, 8 to validate."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for split, count in (("train", 40), ("val", 8), ("test", 1)):
        (folder / split).mkdir()
        for index in range(count):
            corners = generator.uniform(0, 255, (2, 2, 3)).astype(np.uint8)
            image = Image.fromarray(corners).resize((32, 32), Image.Resampling.BICUBIC)
            image.save(folder / split / f"{index:03d}.png")
    return folder


def config(pictures: Path, out: Path, *settings: str):
    values = {
        "data": str(pictures),
        "out": str(out),
        "device": "cpu",
        "validate_every": 10,
        "flow": {"scales": 2, "r_steps": 1, "t_steps": 2, "f_steps": 1, "hidden": 8, "f_hidden": 8},
        "task": {"size": 32},
        "optim": {"batch_size": BATCH, "images": 20 * BATCH, "warmup": 5, "lr": 2e-3},
    }
    return apply_settings(values, list(settings))


def events(out: Path, kind: str) -> list[dict]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == kind]


@pytest.fixture(scope="module")
def straight(pictures: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("run") / "straight"
    return out, train(config(pictures, out))


def test_a_run_learns_and_says_so(pictures, straight):
    out, summary = straight
    assert summary.steps == 20
    assert summary.images == 20 * BATCH
    assert summary.skipped_steps == 0
    first, last = (events(out, "validation")[i]["val_bits_per_dim"] for i in (0, -1))
    assert last < first < 8
    assert summary.val_bits_per_dim == last
    assert summary.best_val_bits_per_dim == min(last, first)
    assert events(out, "end")[0]["steps"] == 20


def test_a_run_writes_what_it_promises(straight):
    out, _ = straight
    assert {p.name for p in out.iterdir()} == {
        "config.toml",
        "metrics.jsonl",
        "samples",
        "last.safetensors",
        "best.safetensors",
        "state",
    }
    grid = np.asarray(Image.open(sorted((out / "samples").iterdir())[0]))
    assert grid.shape == (6 * 32, 6 * 32, 3)  # condition, four candidates, truth
    assert [p.name for p in sorted((out / "state").iterdir())] == ["step-00000010", "step-00000020"]


def test_the_saved_model_is_the_average_and_validates_as_logged(pictures, straight):
    out, summary = straight
    model, info = load_checkpoint(out / "last.safetensors")
    assert info.training["images"] == 20 * BATCH
    assert info.config.task.size == 32
    average = load_file(out / "state" / "step-00000020" / "ema.safetensors")
    assert all(torch.equal(v, average[k]) for k, v in model.state_dict().items())
    live = load_file(out / "state" / "step-00000020" / "model.safetensors")
    assert not all(torch.equal(v, live[k]) for k, v in model.state_dict().items())

    from caflow_cli.data import load_split
    from caflow_cli.tasks import SuperRes, held_out_conditions

    images = load_split(pictures, "val", 32).images
    score = model.log_prob(images, held_out_conditions(SuperRes(), images)).mean()
    bits = -float(score) / (3 * 32 * 32 * math.log(2))
    assert bits == pytest.approx(summary.val_bits_per_dim, abs=1e-6)


def test_a_resumed_run_ends_where_the_straight_one_does(pictures, straight, tmp_path):
    out, _ = straight
    # The schedule spans the budget, so the first half is a stopped run of the whole budget.
    half = tmp_path / "half"

    class Stop(Exception):
        pass

    def stop_after_ten(event):
        if event["event"] == "validation" and event["step"] == 10:
            stop_after_ten.armed = True
        elif getattr(stop_after_ten, "armed", False) and event["step"] > 10:
            raise Stop

    with pytest.raises(Stop):
        train(
            config(pictures, half, "optim.images=160", "validate_every=10"), report=stop_after_ten
        )
    assert sorted(p.name for p in (half / "state").iterdir()) == ["step-00000010"]
    train(config(pictures, half), resume=True)
    for file in ("model", "ema", "optimizer"):
        a = load_file(out / "state" / "step-00000020" / f"{file}.safetensors")
        b = load_file(half / "state" / "step-00000020" / f"{file}.safetensors")
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a), file


def test_init_from_starts_where_the_model_is(pictures, straight, tmp_path):
    out, summary = straight
    source = out / "last.safetensors"
    settings = [f"init_from={source}", "optim.lr=1e-9", "optim.images=8"]
    again = train(config(pictures, tmp_path / "next", *settings))
    assert again.val_bits_per_dim == pytest.approx(summary.val_bits_per_dim, abs=1e-4)
    with pytest.raises(CaflowError, match="another architecture"):
        train(config(pictures, tmp_path / "other", f"init_from={source}", "flow.hidden=16"))


def test_a_diverging_run_goes_back_and_halves_the_rate(pictures, tmp_path):
    out = tmp_path / "wild"
    seen = []
    settings = ["optim.images=800", "optim.lr=0.3", "optim.warmup=1", "validate_every=1000"]
    summary = train(config(pictures, out, *settings), report=seen.append)
    assert summary.rollbacks >= 1
    assert summary.val_bits_per_dim < 8
    assert summary.skipped_steps >= 20
    rollbacks = [e for e in seen if e["event"] == "rollback"]
    assert [e["lr_scale"] for e in rollbacks[:2]] == [0.5, 0.25][: len(rollbacks)]
    model, _ = load_checkpoint(out / "last.safetensors")
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_a_run_that_cannot_recover_says_so(pictures, tmp_path):
    settings = ["optim.images=8000", "optim.lr=1e30", "optim.warmup=1", "validate_every=1000"]
    with pytest.raises(CaflowError, match="training does not recover") as caught:
        train(config(pictures, tmp_path / "lost", *settings))
    assert "--lr" in caught.value.hint


def test_init_from_keeps_the_runs_own_task(pictures, straight, tmp_path):
    out, _ = straight
    settings = [f"init_from={out / 'last.safetensors'}", "task.factor=2", "optim.images=8"]
    train(config(pictures, tmp_path / "x2", *settings))
    _, info = load_checkpoint(tmp_path / "x2" / "last.safetensors")
    assert info.config.task.factor == 2


def test_damaged_pictures_are_named_in_the_metrics(pictures, tmp_path):
    import shutil

    data = tmp_path / "data"
    for copy in range(4):
        shutil.copytree(pictures / "train", data / "train" / str(copy))
    shutil.copytree(pictures / "val", data / "val")
    (data / "train" / "broken.png").write_bytes(b"")
    train(config(data, tmp_path / "run", "optim.images=8"))
    (event,) = events(tmp_path / "run", "data")
    assert event["train"] == 157  # three are held out as test
    assert event["skipped"] == 1
    assert event["skipped_names"] == ["broken.png"]


def test_a_damaged_state_is_one_error(pictures, straight, tmp_path):
    import shutil

    out, _ = straight
    run = tmp_path / "run"
    shutil.copytree(out, run)
    (run / "state" / "step-00000020" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(CaflowError, match="cannot resume from") as caught:
        train(config(pictures, run), resume=True)
    assert caught.value.exit_code == 2
    shutil.rmtree(run / "state" / "step-00000020")
    with pytest.raises(CaflowError, match="batch size 8, not 4"):
        train(config(pictures, run, "optim.batch_size=4"), resume=True)


def test_a_folder_with_a_run_is_not_overwritten(pictures, straight):
    out, _ = straight
    before = (out / "metrics.jsonl").read_bytes()
    with pytest.raises(CaflowError, match="holds a run already") as caught:
        train(config(pictures, out))
    assert caught.value.exit_code == 2
    assert (out / "metrics.jsonl").read_bytes() == before


def test_fewer_images_than_a_batch_are_refused(pictures, tmp_path):
    with pytest.raises(CaflowError, match="40 training images are fewer than a batch") as caught:
        train(config(pictures, tmp_path / "x", "optim.batch_size=64"))
    assert caught.value.hint == "--batch-size 40"


@pytest.mark.parametrize(
    "setting",
    ["flow.conditional=shared", "flow.conditional=dual-glow", "flow.dequantization=variational"],
)
def test_every_variant_trains_and_restores(pictures, tmp_path, setting):
    from caflow_cli.inference import restore, score

    out = tmp_path / "variant"
    summary = train(config(pictures, out, setting, "optim.images=48"))
    assert summary.skipped_steps == 0
    assert summary.val_bits_per_dim < 8
    model, info = load_checkpoint(out / "best.safetensors")
    assert setting.partition("=")[2] in (
        info.config.flow.conditional,
        info.config.flow.dequantization,
    )
    image = np.full((8, 8, 3), 90, np.uint8)
    best = restore(model, image, 0.5, 3).ranked[0]
    assert score(model, image, best.image).log_likelihood == pytest.approx(
        best.score.log_likelihood, abs=1e-2
    )
