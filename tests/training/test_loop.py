"""Whole runs, small ones: a one-scale model on generated images, and variants of two."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from workers import tiny

from caflow_cli.errors import CaflowError
from caflow_cli.inference import restore, score
from caflow_cli.model import CAFlow, read_info
from caflow_cli.records import parse
from caflow_cli.tasks import get_task, held_out_conditions
from caflow_cli.training import RunConfig, loop, train
from caflow_cli.training.phases import learning_rate
from caflow_cli.training.settings import merged

BATCH, SIZE = 8, 16


def config(images: Path, out: Path, *settings: str) -> RunConfig:
    return parse(RunConfig, merged(tiny(images, out), ["optim.bf16=true", *settings]))


def events(out: Path, kind: str) -> list[dict]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == kind]


def same_state(a: Path, b: Path) -> None:
    for file in ("model", "ema", "optimizer"):
        x, y = (load_file(state / f"{file}.safetensors") for state in (a, b))
        assert x.keys() == y.keys()
        assert all(torch.equal(x[key], y[key]) for key in x), file


class Stop(Exception):
    """Ends a run as a kill would, between two states."""


def stop_at(step):
    """A `report` that ends the run in the validation after that step, a multiple of five."""

    def report(event):
        if event["event"] == "validation" and event["step"] == step:
            raise Stop

    return report


@pytest.fixture(scope="module")
def straight(photos: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("run") / "straight"
    return out, train(config(photos, out))


def test_a_run_learns_and_writes_what_it_promises(straight):
    out, summary = straight
    assert (summary.steps, summary.images, summary.skipped_steps) == (10, 10 * BATCH, 0)
    first, last = (events(out, "validation")[i]["val_bits_per_dim"] for i in (0, -1))
    assert last < first < 8
    assert summary.val_bits_per_dim == last
    assert summary.best_val_bits_per_dim == min(last, first)
    assert events(out, "end")[0]["steps"] == 10
    files = {"config.toml", "metrics.jsonl", "curve.png", ".lock", "samples", "state"}
    assert {p.name for p in out.iterdir()} == {*files, "last.safetensors", "best.safetensors"}
    grid = np.asarray(Image.open(sorted((out / "samples").iterdir())[0]))
    assert grid.shape == (6 * SIZE, 6 * SIZE, 3)  # condition, four candidates, truth
    assert [p.name for p in sorted((out / "state").iterdir())] == ["step-00000005", "step-00000010"]


def test_the_saved_model_is_the_average_and_measures_as_logged(photos, straight):
    out, summary = straight
    model, info = CAFlow.load(out / "last.safetensors"), read_info(out / "last.safetensors")
    assert info.training["images"] == 10 * BATCH
    assert info.config.task.size == SIZE
    average, live = (
        load_file(out / "state" / "step-00000010" / f"{name}.safetensors")
        for name in ("ema", "model")
    )
    assert all(torch.equal(v, average[k]) for k, v in model.state_dict().items())
    assert not all(torch.equal(v, live[k]) for k, v in model.state_dict().items())
    for split, logged in (("val", summary.val_bits_per_dim), ("train", summary.train_bits_per_dim)):
        paths = sorted((photos / split).iterdir())
        images = torch.stack([torch.from_numpy(np.array(Image.open(p))) for p in paths])
        chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:8].sort()
        images = images.permute(0, 3, 1, 2)[chosen.values]
        value = model.log_prob(images, held_out_conditions(get_task(info.config), images)).mean()
        bits = -float(value) / (3 * SIZE * SIZE * math.log(2))
        assert bits == pytest.approx(logged, abs=1e-6)
    assert summary.gap_bits_per_dim == summary.val_bits_per_dim - summary.train_bits_per_dim


# --- runs that go on ------------------------------------------------------------------------------


def test_a_resumed_run_ends_with_the_bits_of_the_straight_one(photos, straight, tmp_path):
    """Here the images are listed in a manifest, and decoded at each visit."""
    files = [(s, f) for s in ("train", "val", "test") for f in (photos / s).iterdir()]
    rows = [json.dumps({"image": str(file), "split": split}) for split, file in files]
    (tmp_path / "list.jsonl").write_text("\n".join(sorted(rows)))
    half = config(tmp_path / "list.jsonl", out := tmp_path / "half", "data_memory_gb=0")
    # The schedule spans the budget, so the first half is a stopped run of the whole budget.
    with pytest.raises(Stop):
        train(half, report=stop_at(10))
    assert sorted(p.name for p in (out / "state").iterdir()) == ["step-00000005"]
    train(half, resume=True)
    same_state(straight[0] / "state/step-00000010", out / "state/step-00000010")


def test_a_larger_budget_changes_no_step_of_a_stable_rate(photos, tmp_path):
    """Half a run, extended, and a run of the whole budget from the start end with the same bits."""
    settings = ["optim.schedule=stable", "optim.warmup=2", "optim.decay_share=0.25"]
    images = config(photos, tmp_path).optim.images
    whole, half = tmp_path / "whole", tmp_path / "half"
    train(config(photos, whole, *settings))
    longer = [f"optim.images={4 * images}", "save_every=2"]
    with pytest.raises(Stop):  # in its stable part, of another budget
        train(config(photos, half, *settings, *longer), report=stop_at(5))
    train(config(photos, half, *settings), resume=True)
    same_state(whole / "state/step-00000010", half / "state/step-00000010")


def test_a_damaged_state_leads_back_to_the_one_before(photos, straight, tmp_path):
    out, _ = straight
    run = tmp_path / "run"
    shutil.copytree(out, run)
    (run / "state" / "step-00000010" / "model.safetensors").write_bytes(b"x")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"event": "st')  # a killed process
    seen = []
    train(config(photos, run), resume=True, report=seen.append)
    (note,) = [e for e in seen if e["event"] == "note"]
    assert "step-00000010" in note["text"]
    same_state(out / "state/step-00000010", run / "state/step-00000010")
    assert len(events(run, "validation")) == 2
    with pytest.raises(CaflowError, match=r"optim\.batch_size is 4, .* began with 8"):
        train(config(photos, run, "optim.batch_size=4"), resume=True)
    with pytest.raises(CaflowError, match=r"flow\.hidden is 16, .* began with 8"):
        train(config(photos, run, "flow.hidden=16"), resume=True)
    (run / "config.toml").unlink()
    with pytest.raises(CaflowError, match=r"cannot resume from .*step-00000010") as caught:
        train(config(photos, run, "flow.hidden=16"), resume=True)
    assert caught.value.exit_code == 2
    shutil.rmtree(run / "state")
    with pytest.raises(CaflowError, match="no state to resume"):
        train(config(photos, run), resume=True)


def test_one_process_at_a_time_writes_a_folder_that_holds_no_run(photos, straight, tmp_path):
    out, refusals = tmp_path / "run", []

    def start_another(event):
        if event["event"] == "data":
            for resume in (False, True):
                with pytest.raises(CaflowError) as caught:
                    train(config(photos, out), resume=resume)
                refusals.append(caught.value)

    # Killed before its first state: it starts again, over what it left.
    (out / "samples").mkdir(parents=True)
    left = [".caflow-0123456789ab.tmp", "samples/.caflow-0123456789ab.tmp", ".mine"]
    for name in left:
        (out / name).touch()
    (out / "metrics.jsonl").write_text('{"event": "data", "step": 0}\n')
    train(config(photos, out, "optim.images=8"), report=start_another)
    assert "another process is training in" in refusals[1].message
    assert {r.exit_code for r in refusals} == {2}
    assert not list(out.rglob("*.tmp"))
    assert (out / ".mine").exists()
    before = (straight[0] / "metrics.jsonl").read_bytes()
    with pytest.raises(CaflowError, match="holds a run already"):
        train(config(photos, straight[0]))
    assert (straight[0] / "metrics.jsonl").read_bytes() == before
    with pytest.raises(CaflowError):
        train(config(tmp_path / "no data", tmp_path / "never"))
    assert not (tmp_path / "never").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(CaflowError, match="cannot write to") as caught:
        train(config(photos, tmp_path / "file" / "run"))
    assert (caught.value.exit_code, caught.value.hint) == (2, "choose another --out")


# --- from another model ---------------------------------------------------------------------------


def test_init_from_starts_where_the_model_is_with_the_runs_own_task(photos, straight, tmp_path):
    out, summary = straight
    source = f"init_from={out / 'last.safetensors'}"
    settings = [source, "optim.lr=1e-9", "optim.images=8", "validate_every=1"]
    again = train(config(photos, tmp_path / "next", *settings))
    assert [p.name for p in (tmp_path / "next" / "state").iterdir()] == ["step-00000001"]
    assert again.val_bits_per_dim == pytest.approx(summary.val_bits_per_dim, abs=1e-4)
    train(config(photos, tmp_path / "x2", source, "task.factor=2", "optim.images=8"))
    assert read_info(tmp_path / "x2" / "last.safetensors").config.task.factor == 2
    for other in ("flow.hidden=16", "flow.t_steps=2"):
        with pytest.raises(CaflowError, match="another architecture") as caught:
            train(config(photos, tmp_path / "other", source, other))
        assert caught.value.exit_code == 2
    stable = ["optim.schedule=stable", "optim.decay_share=0", "optim.warmup=2", "seed=1"]
    seen: list[dict] = []
    second = train(config(photos, tmp_path / "on", *stable, source), report=seen.append)
    rates = {event["lr"] for event in seen if event["event"] == "step"}
    assert rates == {config(photos, tmp_path).optim.lr}
    assert second.val_bits_per_dim < summary.val_bits_per_dim


# --- guides ---------------------------------------------------------------------------------------

GUIDED = ("flow.guide=8", "optim.guide_first=0.4", "optim.guide_perceptual=0", "save_every=2")


@pytest.fixture(scope="module")
def guided(photos: Path, tmp_path_factory: pytest.TempPathFactory):
    """A run whose guide trains alone for 4 of 10 steps."""
    out, seen = tmp_path_factory.mktemp("guided") / "run", []
    train(config(photos, out, *GUIDED), report=seen.append)
    return out, seen


def test_the_guide_trains_first_and_a_larger_budget_does_not_bring_that_back(
    photos, guided, tmp_path
):
    out, seen = guided
    without_lpips, (step, text) = ((e["step"], e["text"]) for e in seen if e["event"] == "note")
    assert "without LPIPS" in without_lpips[1]
    assert (step, re.sub(r"\d\.\d+", "x", text)) == (4, "guide (L1): x L1; next: flows")
    assert [e["step"] for e in seen if e["event"] == "validation"] == [5, 10]
    record = json.loads((out / "state/step-00000010/state.json").read_text())
    assert record["ema_updates"] == 10 - 4  # the average begins anew
    assert (record["phase"], record["phase_began_at"]) == (1, 4)
    again, stop = [], stop_at(20)
    longer = config(photos, tmp_path / "longer", *GUIDED, "optim.images=240")
    shutil.copytree(out, tmp_path / "longer")
    with pytest.raises(Stop):
        train(longer, resume=True, report=lambda e: (again.append(e), stop(e)))
    assert [e for e in again if e["event"] == "note"] == []
    # A third of the larger budget was spent, less than the guide's share; yet the flows train.
    (rate,) = [e["lr"] for e in again if e["event"] == "step"]
    assert rate == pytest.approx(learning_rate(longer.optim, 19 - 4, (19 / 30 - 0.4) / 0.6, 0))


def test_only_the_guide_changes_while_it_trains_and_actnorms_are_set_after_it(
    photos, guided, tmp_path
):
    half = tmp_path / "half"
    with pytest.raises(Stop):
        train(config(photos, half, *GUIDED), report=stop_at(5))
    states = [load_file(half / "state" / f"step-{s:08d}" / "model.safetensors") for s in (2, 4)]
    for name in states[0]:
        assert torch.equal(states[0][name], states[1][name]) != name.startswith("A.guide."), name
    flags = [name for name in states[1] if name.endswith(".initialized")]
    assert flags
    assert not any(states[1][name] for name in flags)
    train(config(photos, half, *GUIDED), resume=True)
    same_state(half / "state/step-00000010", guided[0] / "state/step-00000010")
    final = load_file(half / "state/step-00000010/model.safetensors")
    assert all(final[name] for name in flags)
    guide = [name for name in final if name.startswith("A.guide.")]
    assert all(torch.equal(final[name], states[1][name]) for name in guide)  # it is fixed


def test_a_budget_that_ends_while_the_guide_trains_leaves_a_state_and_no_model(
    photos, guided, tmp_path
):
    out = tmp_path / "run"
    for resume in (False, True):
        with pytest.raises(CaflowError, match="ended after step 1, while the guide") as caught:
            train(config(photos, out, *GUIDED, "optim.images=8"), resume=resume)
        assert caught.value.exit_code == 1
        assert caught.value.hint == f"caflow train --out {out} --resume --images 80"
    assert list(out.glob("*.safetensors")) == []
    assert not events(out, "end")
    train(config(photos, out, *GUIDED, "optim.images=80"), resume=True)
    assert {path.stem for path in out.glob("*.safetensors")} == {"best", "last"}
    # The flows of a model that a run begins with have trained; another guide starts anew.
    source = f"init_from={out / 'best.safetensors'}"
    train(config(photos, tmp_path / "on", *GUIDED, "optim.images=8", source))
    assert (tmp_path / "on" / "best.safetensors").exists()
    other = [*GUIDED, "flow.guide=5", "optim.images=8", source]
    train(config(photos, tmp_path / "other", *other))
    theirs, ours = (load_file(path / "best.safetensors") for path in (out, tmp_path / "other"))
    assert ours["A.guide.head.weight"].shape != theirs["A.guide.head.weight"].shape
    assert torch.equal(
        ours["T.scales.0.transitions.0.invconv.lu"], theirs["T.scales.0.transitions.0.invconv.lu"]
    )


# --- bad steps ------------------------------------------------------------------------------------


def test_a_run_whose_steps_turn_bad_goes_back_and_halves_the_rate(photos, tmp_path, monkeypatch):
    out, seen, calls = tmp_path / "wild", [], []
    step, state = loop.Trainer.step, {}

    def poisoned(self, *args):
        calls.append(None)
        matrix = self.model.get_parameter("density.T.scales.0.transitions.0.invconv.lu")
        if len(calls) == 7:  # step 6 was taken, and ruins the weights
            state.update(load_file(out / "state" / "step-00000005" / "model.safetensors"))
            with torch.no_grad():
                matrix.fill_(math.nan)
        if seen and seen[-1]["event"] == "rollback" and len(calls) == 27:
            now = self.model.state_dict()
            assert all(torch.equal(now[name], state[name]) for name in state)
        return step(self, *args)

    monkeypatch.setattr(loop.Trainer, "step", poisoned)
    summary = train(config(photos, out, "optim.images=320"), report=seen.append)
    assert (len(calls), summary.skipped_steps, summary.rollbacks) == (40, 20, 1)
    (rollback,) = [e for e in seen if e["event"] == "rollback"]
    assert (rollback["step"], rollback["lr_scale"]) == (25, 0.5)
    steps = {e["step"]: e for e in seen if e["event"] == "step"}
    assert steps[10]["loss"] is None
    halved = learning_rate(config(photos, out).optim, 39, 39 / 40, 0) / 2
    assert steps[40]["lr"] == pytest.approx(halved)
    assert summary.val_bits_per_dim < 8
    model = CAFlow.load(out / "last.safetensors")
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_a_run_that_cannot_recover_fails(photos, tmp_path):
    settings = ["optim.batch_size=1", "validate_every=1000", "save_every=1000"]
    settings += ["optim.images=2000", "optim.lr=1e30"]
    with pytest.raises(CaflowError, match="training does not recover") as caught:
        train(config(photos, tmp_path / "lost", *settings, "optim.warmup=1"))
    assert "--lr" in caught.value.hint


# --- data and variants ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smooth images of many sizes."""
    generator, data = np.random.default_rng(0), tmp_path_factory.mktemp("photographs")
    for split, count in (("train", 12), ("val", 4), ("test", 1)):
        (data / split).mkdir(parents=True)
        for index in range(count):
            corners = Image.fromarray(generator.uniform(0, 255, (3, 4, 3)).astype(np.uint8))
            size = (20 + 7 * index, 17 + 3 * (index % 4))
            corners.resize(size, Image.Resampling.BICUBIC).save(data / split / f"{index:02}.png")
    return data


def test_a_run_of_crops_and_samples_ends_alike_whether_it_was_stopped_or_not(photographs, tmp_path):
    """The photographs are decoded at each visit, and their inputs degraded."""
    settings = ["crop=random", "data_memory_gb=0", "task.degrade=photo"]
    settings += ["samples.share=0.8", "samples.tau=0.7", "samples.perceptual=0"]
    straight, half = tmp_path / "straight", tmp_path / "half"
    assert math.isfinite(train(config(photographs, straight, *settings)).val_bits_per_dim)
    with pytest.raises(Stop):
        train(config(photographs, half, *settings), report=stop_at(10))
    train(config(photographs, half, *settings), resume=True)
    same_state(straight / "state/step-00000010", half / "state/step-00000010")
    assert events(straight, "data")[0]["train"] == 12
    assert all("picture_loss" in event for event in events(straight, "step"))


def test_a_run_fills_holes_of_masks_and_its_model_does_not_contain_their_path(
    photographs, tmp_path
):
    masks = tmp_path / "hidden-masks"
    masks.mkdir()
    for index in range(6):
        mask = Image.new("L", (40, 40))
        mask.paste(255, (4 * index, 10, 4 * index + 5, 30))
        mask.save(masks / f"{index}.png")
    settings = [f"masks={masks}", "crop=random", "task.name=inpaint", "flow.cond_channels=4"]
    settings += ["flow.anchor=fill", "flow.guide=4", "flow.spread=4"]
    out = tmp_path / "run"
    train(config(photographs, out, *settings, "optim.guide_first=0.5", "optim.guide_perceptual=0"))
    assert "hidden-masks" in (out / "config.toml").read_text()
    for name in ("best", "last"):
        assert b"hidden-masks" not in (out / f"{name}.safetensors").read_bytes()
    model = CAFlow.load(out / "best.safetensors")
    image = np.asarray(Image.open(photographs / "val" / "03.png"))
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[6:11, 7:12] = 255
    best = restore(model, image, 0.5, 3, mask=mask).ranked[0]
    assert np.array_equal(best.image[mask == 0], image[mask == 0])


def test_few_validation_images_describe_no_domain_and_a_batch_may_exceed_the_set(photos, tmp_path):
    for split in ("train", "val"):
        shutil.copytree(photos / "train", tmp_path / "data" / split)
    large = ["optim.batch_size=32", "optim.images=64"]
    for count, known in ((19, False), (20, True)):
        out = tmp_path / str(count)
        summary = train(config(tmp_path / "data", out, f"validation_images={count}", *large))
        assert (summary.steps, summary.images, summary.skipped_steps) == (2, 64, 0)
        domain = read_info(out / "best.safetensors").training["domain"]
        assert (domain is not None) is known


@pytest.mark.parametrize(
    "setting",
    ["flow.conditional=shared", "flow.conditional=dual-glow", "flow.dequantization=variational"],
)
def test_every_variant_trains_and_restores(photos, tmp_path, setting):
    out = tmp_path / "variant"
    summary = train(config(photos, out, setting, "flow.scales=2", "optim.images=48"))
    assert summary.skipped_steps == 0
    assert summary.val_bits_per_dim < 8
    model = CAFlow.load(out / "best.safetensors")
    flow = model.config.flow
    assert setting.partition("=")[2] in (flow.conditional, flow.dequantization)
    image = np.full((8, 8, 3), 90, np.uint8)
    best = restore(model, image, 0.5, 3).ranked[0]
    assert score(model, image, best.image).log_likelihood == pytest.approx(
        best.score.log_likelihood, abs=1e-2
    )
