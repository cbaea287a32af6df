"""Whole runs, small ones: a one-scale model on generated pictures, and variants of two."""

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
from caflow_cli.model import CAFlow, read_info
from caflow_cli.training import train
from caflow_cli.training.optimise import Optimiser
from caflow_cli.training.parameters import named_parameters
from caflow_cli.training.schedule import learning_rate
from caflow_cli.training.settings import apply_settings

BATCH, SIZE = 8, 16


def config(pictures: Path, out: Path, *settings: str):
    return apply_settings(tiny(pictures, out), ["optim.bf16=true", *settings])


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


@pytest.fixture(scope="module", autouse=True)
def logged_twice():
    """Half of the ten steps of a run are logged together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("caflow_cli.training.loop._LOG_EVERY", 5)
        yield


def stop_at(step):
    """A `report` that ends the run when that step, a multiple of five, is logged."""

    def report(event):
        if event["event"] == "step" and event["step"] == step:
            raise Stop

    return report


@pytest.fixture(scope="module")
def straight(pictures: Path, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("run") / "straight"
    return out, train(config(pictures, out))


def test_a_run_learns_and_says_so(pictures, straight):
    out, summary = straight
    assert summary.steps == 10
    assert summary.images == 10 * BATCH
    assert summary.skipped_steps == 0
    first, last = (events(out, "validation")[i]["val_bits_per_dim"] for i in (0, -1))
    assert last < first < 8
    assert summary.val_bits_per_dim == last
    assert summary.best_val_bits_per_dim == min(last, first)
    assert events(out, "end")[0]["steps"] == 10


def test_a_run_writes_what_it_promises(straight):
    out, _ = straight
    assert {p.name for p in out.iterdir()} == {
        "config.toml",
        "metrics.jsonl",
        "curve.png",
        ".lock",
        "samples",
        "last.safetensors",
        "best.safetensors",
        "state",
    }
    grid = np.asarray(Image.open(sorted((out / "samples").iterdir())[0]))
    assert grid.shape == (6 * SIZE, 6 * SIZE, 3)  # condition, four candidates, truth
    assert [p.name for p in sorted((out / "state").iterdir())] == ["step-00000005", "step-00000010"]


def test_the_saved_model_is_the_average_and_validates_as_logged(pictures, straight):
    out, summary = straight
    model, info = CAFlow.load(out / "last.safetensors"), read_info(out / "last.safetensors")
    assert info.training["images"] == 10 * BATCH
    assert info.training["domain"] is None  # of eight validation pictures
    assert info.config.task.size == SIZE
    average = load_file(out / "state" / "step-00000010" / "ema.safetensors")
    assert all(torch.equal(v, average[k]) for k, v in model.state_dict().items())
    live = load_file(out / "state" / "step-00000010" / "model.safetensors")
    assert not all(torch.equal(v, live[k]) for k, v in model.state_dict().items())

    from caflow_cli.data import load_split
    from caflow_cli.tasks import SuperRes, held_out_conditions

    images = load_split(pictures, "val", SIZE).images
    score = model.log_prob(images, held_out_conditions(SuperRes(), images)).mean()
    bits = -float(score) / (3 * SIZE * SIZE * math.log(2))
    assert bits == pytest.approx(summary.val_bits_per_dim, abs=1e-6)


def test_training_and_validation_pictures_are_measured_alike(pictures, straight):
    from caflow_cli.data import load_split
    from caflow_cli.tasks import get_task, held_out_conditions

    out, summary = straight
    model, info = CAFlow.load(out / "last.safetensors"), read_info(out / "last.safetensors")
    images = load_split(pictures, "train", SIZE).images
    choice = torch.randperm(24, generator=torch.Generator().manual_seed(0))[:8].sort().values
    few = images[choice]
    score = model.log_prob(few, held_out_conditions(get_task(info.config), few)).mean()
    bits = -float(score) / (3 * SIZE * SIZE * math.log(2))
    assert bits == pytest.approx(summary.train_bits_per_dim, abs=1e-6)
    assert summary.gap_bits_per_dim == summary.val_bits_per_dim - summary.train_bits_per_dim


def test_figures_go_to_tensorboard_and_large_sets_through_a_file(pictures, straight, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "tracked"
    summary = train(config(pictures, out, "tracker=tensorboard", "data_memory_gb=0"))
    # The same run as from memory; and the file is gone.
    assert summary.val_bits_per_dim == straight[1].val_bits_per_dim
    assert not (out / "cache").exists()
    (file,) = out.rglob("events.out.tfevents.*")
    recorded = EventAccumulator(str(file))
    recorded.Reload()
    (first, last) = recorded.Scalars("val_bits_per_dim")
    assert (first.step, last.step) == (5, 10)
    assert last.value == pytest.approx(summary.val_bits_per_dim, abs=1e-6)
    assert [point.step for point in recorded.Scalars("loss")] == [5, 10]
    assert [grid.step for grid in recorded.Images("samples")] == [5]


def test_a_resumed_run_ends_where_the_straight_one_does(pictures, straight, tmp_path):
    out, _ = straight
    # The schedule spans the budget, so the first half is a stopped run of the whole budget.
    half = tmp_path / "half"

    with pytest.raises(Stop):
        train(config(pictures, half), report=stop_at(10))
    assert sorted(p.name for p in (half / "state").iterdir()) == ["step-00000005"]
    train(config(pictures, half), resume=True)
    same_state(out / "state/step-00000010", half / "state/step-00000010")


def test_a_run_over_a_manifest_is_that_over_its_folder_and_resumes_with_the_same_bits(
    pictures, straight, tmp_path
):
    splits = ("train", "val", "test")
    files = [(split, file) for split in splits for file in (pictures / split).iterdir()]
    rows = [json.dumps({"image": str(file), "split": split}) for split, file in files]
    manifest, out = tmp_path / "list.jsonl", tmp_path / "listed"
    manifest.write_text("\n".join(sorted(rows)))
    with pytest.raises(Stop):
        train(config(manifest, out), report=stop_at(10))
    train(config(manifest, out), resume=True)
    same_state(straight[0] / "state/step-00000010", out / "state/step-00000010")


def test_a_larger_budget_changes_no_step_of_a_stable_rate(pictures, tmp_path):
    """Half a run, extended, and a run of the whole budget from the start end with the same bits."""
    settings = ["optim.schedule=stable", "optim.warmup=2", "optim.decay_share=0.25"]
    images = config(pictures, tmp_path).optim.images
    whole, half = tmp_path / "whole", tmp_path / "half"
    train(config(pictures, whole, *settings))
    # Stopped in its stable part, of another budget.
    longer = [f"optim.images={4 * images}", "save_every=2"]
    with pytest.raises(Stop):
        train(config(pictures, half, *settings, *longer), report=stop_at(5))
    assert (half / "state/step-00000004").exists()
    train(config(pictures, half, *settings), resume=True)
    same_state(whole / "state/step-00000010", half / "state/step-00000010")


def test_a_stable_run_goes_on_from_the_model_of_another_one(pictures, tmp_path):
    """What is lost at the joint is less than one of the parts brings."""
    stable = ["optim.schedule=stable", "optim.decay_share=0", "optim.warmup=2"]
    first = train(config(pictures, tmp_path / "first", *stable))
    model = tmp_path / "first" / "last.safetensors"
    events = []
    second = train(
        config(pictures, tmp_path / "second", *stable, f"init_from={model}", "seed=1"),
        report=events.append,
    )
    rates = [event["lr"] for event in events if event["event"] == "step"]
    assert len(rates) == 2
    assert set(rates) == {config(pictures, tmp_path).optim.lr}
    assert second.val_bits_per_dim < first.val_bits_per_dim


def test_init_from_starts_where_the_model_is(pictures, straight, tmp_path):
    out, summary = straight
    source = out / "last.safetensors"
    settings = [f"init_from={source}", "optim.lr=1e-9", "optim.images=8", "validate_every=1"]
    again = train(config(pictures, tmp_path / "next", *settings))
    assert [p.name for p in (tmp_path / "next" / "state").iterdir()] == ["step-00000001"]
    assert again.val_bits_per_dim == pytest.approx(summary.val_bits_per_dim, abs=1e-4)
    with pytest.raises(CaflowError, match="another architecture"):
        train(config(pictures, tmp_path / "other", f"init_from={source}", "flow.hidden=16"))


GUIDED = ("flow.guide=8", "optim.guide_first=0.4", "optim.guide_first_lr=1e-3", "save_every=2")


@pytest.fixture(scope="module")
def guided(pictures: Path, tmp_path_factory: pytest.TempPathFactory):
    """A run whose guide learns alone for 4 of 10 steps: its folder, summary and events, and the
    largest weight that the guide's last layer had whenever actnorms were set."""
    out = tmp_path_factory.mktemp("guided") / "run"
    seen, heads = [], []
    initialise = Optimiser.initialise

    def noting(self, batch):
        heads.append(float(self.model.state_dict()["A.guide.head.weight"].abs().max()))
        initialise(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Optimiser, "initialise", noting)
        summary = train(config(pictures, out, *GUIDED), report=seen.append)
    return out, summary, seen, heads


def test_the_guide_learns_alone_first_and_a_larger_budget_does_not_bring_that_back(
    pictures, guided, tmp_path, monkeypatch
):
    out, summary, seen, _ = guided
    notes = [(e["step"], e["text"]) for e in seen if e["event"] == "note"]
    assert len(notes) == 1
    assert notes[0][0] == 4
    assert notes[0][1].startswith("the guide alone reached ")
    assert notes[0][1].endswith(" bits/dim; now all learn")
    assert [e["step"] for e in seen if e["event"] == "validation"] == [5, 10]
    assert summary.skipped_steps == 0

    monkeypatch.setattr("caflow_cli.training.loop._LOG_EVERY", 1)
    again, stop = [], stop_at(15)
    longer = config(pictures, tmp_path / "longer", *GUIDED, "optim.images=240")
    shutil.copytree(out, tmp_path / "longer")
    with pytest.raises(Stop):
        train(longer, resume=True, report=lambda e: (again.append(e), stop(e)))
    assert [e for e in again if e["event"] == "note"] == []
    rates = {e["step"]: e["lr"] for e in again if e["event"] == "step"}
    # A third of the larger budget is spent, less than the guide's share; yet all learn.
    assert rates[11] == pytest.approx(learning_rate(longer.optim, 10 - 4, 0.0, 0))
    assert rates[15] == pytest.approx(learning_rate(longer.optim, 14 - 4, (14 / 30 - 0.4) / 0.6, 0))


def test_a_resumed_run_may_be_told_that_the_guide_has_learned_enough(pictures, tmp_path):
    out, settings = tmp_path / "run", ["flow.guide=8", "save_every=2"]
    with pytest.raises(Stop):
        train(config(pictures, out, *settings, "optim.guide_first=0.9"), report=stop_at(5))
    settings += ["optim.guide_first=0", "optim.guide_lr_share=0", f"init_from={out / 'none'}"]
    seen = []
    train(config(pictures, out, *settings), resume=True, report=seen.append)
    (note,) = [e for e in seen if e["event"] == "note"]
    assert note["step"] == 4
    assert note["text"].endswith("now all else learns")


def test_a_budget_that_ends_while_the_guide_is_alone_leaves_a_state_and_no_model(
    pictures, guided, tmp_path
):
    out = tmp_path / "run"
    for resume in (False, True):
        with pytest.raises(CaflowError, match="ended after step 1, while the guide") as caught:
            train(config(pictures, out, *GUIDED, "optim.images=8"), resume=resume)
        assert caught.value.exit_code == 1
        assert caught.value.hint == f"caflow train --out {out} --resume --images 80"
    assert list(out.glob("*.safetensors")) == []
    assert not events(out, "end")
    train(config(pictures, out, *GUIDED, "optim.images=80"), resume=True)
    assert {path.stem for path in out.glob("*.safetensors")} == {"best", "last"}
    # The flows of a model that a run begins with have learned.
    begun = [*GUIDED, "optim.images=8", f"init_from={out / 'best.safetensors'}"]
    train(config(pictures, tmp_path / "on", *begun))
    assert (tmp_path / "on" / "best.safetensors").exists()
    timed = config(pictures, tmp_path / "timed", *GUIDED, "optim.images=null", "optim.minutes=1e-9")
    with pytest.raises(CaflowError) as caught:
        train(timed)
    assert re.search(r"--resume --minutes [\d.e-]+$", caught.value.hint)


def test_all_but_the_guide_stays_as_it_began_while_it_learns_alone(pictures, guided, tmp_path):
    half = tmp_path / "half"
    with pytest.raises(Stop):
        train(config(pictures, half, *GUIDED), report=stop_at(5))
    states = [load_file(half / "state" / f"step-{s:08d}" / "model.safetensors") for s in (2, 4)]
    for name in states[0]:
        assert torch.equal(states[0][name], states[1][name]) != name.startswith("A.guide."), name
    began = [name for name in states[1] if name.endswith(".initialized")]
    assert began
    assert not any(states[1][name] for name in began)
    train(config(pictures, half, *GUIDED), resume=True)
    same_state(half / "state/step-00000010", guided[0] / "state/step-00000010")


def test_all_else_and_the_average_begin_behind_what_the_guide_has_become(guided):
    out, _, _, heads = guided
    assert len(heads) == 1
    assert heads[0] > 0
    record = json.loads((out / "state/step-00000010/state.json").read_text())
    assert record["ema_updates"] == 10 - 4
    assert (record["phase"], record["phase_began_at"]) == (1, 4)


def test_a_run_whose_steps_turn_bad_goes_back_and_halves_the_rate(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("caflow_cli.training.guard._BAD_IN_A_ROW", 5)
    out = tmp_path / "wild"
    seen = []
    backward = Optimiser._backward
    state, calls = {}, []

    def poisoned(self, module, part):
        calls.append(None)
        if len(calls) == 7:  # step 6 was taken; it is said to have ruined the weights
            state.update(load_file(out / "state" / "step-00000005" / "model.safetensors"))
            with torch.no_grad():
                named_parameters(self.model)["T.scales.0.transitions.0.invconv.lu"].fill_(math.nan)
        if seen and seen[-1]["event"] == "rollback" and len(calls) == 12:
            now = self.model.state_dict()
            assert all(torch.equal(now[name], state[name]) for name in state)
        return backward(self, module, part)

    monkeypatch.setattr(Optimiser, "_backward", poisoned)
    summary = train(config(pictures, out, "optim.images=120"), report=seen.append)
    assert len(calls) == 15
    assert summary.skipped_steps == 5
    assert summary.rollbacks == 1
    (rollback,) = [e for e in seen if e["event"] == "rollback"]
    assert (rollback["step"], rollback["lr_scale"]) == (10, 0.5)
    steps = {e["step"]: e for e in seen if e["event"] == "step"}
    assert steps[10]["loss"] is None
    halved = learning_rate(config(pictures, out).optim, 14, 14 / 15, 0) / 2
    assert steps[15]["lr"] == pytest.approx(halved)
    assert summary.val_bits_per_dim < 8
    model = CAFlow.load(out / "last.safetensors")
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_a_run_that_cannot_recover_says_so(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("caflow_cli.training.guard._ROLLBACKS", 1)
    monkeypatch.setattr("caflow_cli.training.guard._BAD_IN_A_ROW", 5)
    small = ["task.size=16", "flow.t_steps=1", "optim.batch_size=4", "validate_every=1000"]
    settings = [*small, "optim.images=8000", "optim.lr=1e30", "optim.warmup=1"]
    with pytest.raises(CaflowError, match="training does not recover") as caught:
        train(config(pictures, tmp_path / "lost", *settings))
    assert "--lr" in caught.value.hint


def test_init_from_keeps_the_runs_own_task(pictures, straight, tmp_path):
    out, _ = straight
    settings = [f"init_from={out / 'last.safetensors'}", "task.factor=2", "optim.images=8"]
    train(config(pictures, tmp_path / "x2", *settings))
    _, info = (
        CAFlow.load(tmp_path / "x2" / "last.safetensors"),
        read_info(tmp_path / "x2" / "last.safetensors"),
    )
    assert info.config.task.factor == 2


def test_a_run_may_learn_from_parts_of_pictures(pictures, straight, tmp_path):
    train(config(pictures, tmp_path / "parts", "zoom=0.5"))
    losses = [[e["loss"] for e in events(x, "step")] for x in (straight[0], tmp_path / "parts")]
    assert len(losses[0]) == len(losses[1])
    assert all(a != b for a, b in zip(*losses, strict=True))
    # Validation is of whole pictures, and parts of gradients are gradients.
    fits = [
        events(x, "validation")[-1]["val_bits_per_dim"] for x in (straight[0], tmp_path / "parts")
    ]
    assert fits[1] == pytest.approx(fits[0], rel=0.1)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Smooth pictures of many sizes."""
    generator, data = np.random.default_rng(0), tmp_path_factory.mktemp("photographs")
    for split, count in (("train", 12), ("val", 4), ("test", 1)):
        (data / split).mkdir(parents=True)
        for index in range(count):
            corners = Image.fromarray(generator.uniform(0, 255, (3, 4, 3)).astype(np.uint8))
            size = (20 + 7 * index, 17 + 3 * (index % 4))
            corners.resize(size, Image.Resampling.BICUBIC).save(data / split / f"{index:02}.png")
    return data


def test_a_run_of_crops_ends_alike_whether_it_was_stopped_or_not(photographs, tmp_path):
    """The photographs are mapped from a file, and their inputs degraded."""
    data, settings = photographs, ["crop=random", "data_memory_gb=0", "task.degrade=photo"]
    straight, half = tmp_path / "straight", tmp_path / "half"
    summary = train(config(data, straight, *settings))
    assert math.isfinite(summary.val_bits_per_dim)
    with pytest.raises(Stop):
        train(config(data, half, *settings), report=stop_at(10))
    train(config(data, half, *settings), resume=True)
    same_state(straight / "state/step-00000010", half / "state/step-00000010")
    assert events(straight, "data")[0]["train"] == 12


def test_a_run_fills_holes_of_masks_and_its_model_does_not_know_their_place(photographs, tmp_path):
    from caflow_cli.inference import restore, score

    masks = tmp_path / "hidden-masks"
    masks.mkdir()
    for index in range(6):
        mask = Image.new("L", (40, 40))
        mask.paste(255, (4 * index, 10, 4 * index + 5, 30))
        mask.save(masks / f"{index}.png")
    settings = [f"masks={masks}", "crop=random", "task.name=inpaint", "flow.cond_channels=4"]
    settings += ["flow.anchor=fill", "flow.guide=4", "flow.spread=4"]
    settings += ["optim.guide_first=0.5", "optim.guide_loss=picture", "optim.guide_perceptual=0"]
    out = tmp_path / "run"
    summary = train(config(photographs, out, *settings, "optim.guide_lr_share=0"))
    assert math.isfinite(summary.val_bits_per_dim)
    assert "hidden-masks" in (out / "config.toml").read_text()
    for name in ("best", "last"):
        assert b"hidden-masks" not in (out / f"{name}.safetensors").read_bytes()
    model = CAFlow.load(out / "best.safetensors")
    image = np.asarray(Image.open(photographs / "val" / "03.png"))
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[6:11, 7:12] = 255
    best = restore(model, image, 0.5, 3, mask=mask).ranked[0]
    assert np.array_equal(best.image[mask == 0], image[mask == 0])
    assert score(model, image, best.image, mask=mask).log_likelihood == pytest.approx(
        best.score.log_likelihood, abs=1e-2
    )


def test_damaged_pictures_are_named_in_the_metrics(pictures, tmp_path):
    data = tmp_path / "data"
    for copy in range(4):
        shutil.copytree(pictures / "train", data / "train" / str(copy))
    shutil.copytree(pictures / "val", data / "val")
    (data / "train" / "broken.png").write_bytes(b"")
    train(config(data, tmp_path / "run", "optim.images=8"))
    (event,) = events(tmp_path / "run", "data")
    assert event["train"] == 95  # one is held out as test
    assert event["skipped"] == 1
    assert event["skipped_names"] == ["broken.png"]


def test_the_domain_of_a_model_is_that_of_twenty_pictures_or_more(pictures, tmp_path):
    for split in ("train", "val"):
        shutil.copytree(pictures / "train", tmp_path / "data" / split)
    for count, known in ((19, False), (20, True)):
        out = tmp_path / str(count)
        train(config(tmp_path / "data", out, "optim.images=8", f"validation_images={count}"))
        domain = read_info(out / "best.safetensors").training["domain"]
        assert (domain is not None) is known
    assert domain["pictures"] == 20


def test_a_damaged_state_leads_back_to_the_one_before(pictures, straight, tmp_path):
    out, _ = straight
    run = tmp_path / "run"
    shutil.copytree(out, run)
    (run / "state" / "step-00000010" / "model.safetensors").write_bytes(b"x")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"event": "st')  # a killed process
    seen = []
    train(config(pictures, run), resume=True, report=seen.append)
    (note,) = [e for e in seen if e["event"] == "note"]
    assert "step-00000010" in note["text"]
    same_state(out / "state/step-00000010", run / "state/step-00000010")
    assert len(events(run, "validation")) == 2
    with pytest.raises(CaflowError, match="batch size 8, not 4"):
        train(config(pictures, run, "optim.batch_size=4"), resume=True)
    with pytest.raises(CaflowError, match=r"flow\.hidden is 16, .* began with 8"):
        train(config(pictures, run, "flow.hidden=16"), resume=True)
    (run / "config.toml").unlink()
    with pytest.raises(CaflowError, match=r"cannot resume from .*step-00000010") as caught:
        train(config(pictures, run, "flow.hidden=16"), resume=True)
    assert caught.value.exit_code == 2
    shutil.rmtree(run / "state")
    with pytest.raises(CaflowError, match="no state to resume"):
        train(config(pictures, run), resume=True)


def test_a_run_keeps_others_out_while_it_lasts(pictures, tmp_path):
    out = tmp_path / "run"
    refusals = []

    def start_another(event):
        if event["event"] == "data":
            for resume in (False, True):
                with pytest.raises(CaflowError) as caught:
                    train(config(pictures, out), resume=resume)
                refusals.append(caught.value)

    train(config(pictures, out, "optim.images=8"), report=start_another)
    assert "another process is training in" in refusals[1].message
    assert {r.exit_code for r in refusals} == {2}


def test_where_nothing_can_be_written_nothing_is_trained(pictures, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CaflowError, match="cannot write to") as caught:
        train(config(pictures, tmp_path / "file" / "run"))
    assert (caught.value.exit_code, caught.value.hint) == (2, "choose another --out")


def test_a_folder_with_a_run_is_not_overwritten(pictures, straight):
    out, _ = straight
    before = (out / "metrics.jsonl").read_bytes()
    with pytest.raises(CaflowError, match="holds a run already") as caught:
        train(config(pictures, out))
    assert caught.value.exit_code == 2
    assert (out / "metrics.jsonl").read_bytes() == before


def test_a_batch_may_be_larger_than_the_set(pictures, tmp_path):
    summary = train(config(pictures, tmp_path / "x", "optim.batch_size=32", "optim.images=64"))
    assert (summary.steps, summary.images, summary.skipped_steps) == (2, 64, 0)


@pytest.mark.parametrize(
    "setting",
    ["flow.conditional=shared", "flow.conditional=dual-glow", "flow.dequantization=variational"],
)
def test_every_variant_trains_and_restores(pictures, tmp_path, setting):
    from caflow_cli.inference import restore, score

    out = tmp_path / "variant"
    summary = train(config(pictures, out, setting, "flow.scales=2", "optim.images=48"))
    assert summary.skipped_steps == 0
    assert summary.val_bits_per_dim < 8
    model, info = CAFlow.load(out / "best.safetensors"), read_info(out / "best.safetensors")
    assert setting.partition("=")[2] in (
        info.config.flow.conditional,
        info.config.flow.dequantization,
    )
    image = np.full((8, 8, 3), 90, np.uint8)
    best = restore(model, image, 0.5, 3).ranked[0]
    assert score(model, image, best.image).log_likelihood == pytest.approx(
        best.score.log_likelihood, abs=1e-2
    )
