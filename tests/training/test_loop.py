"""Whole runs, small ones: a one-scale model on generated images, and variants of two."""

import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from workers import tiny

from caflow_cli.checkpoint import read_info
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import evaluate
from caflow_cli.model import CAFlow
from caflow_cli.records import parse
from caflow_cli.restoration import restore, score
from caflow_cli.tasks import get_task, held_out_conditions
from caflow_cli.training import RunConfig, train
from caflow_cli.training.losses import predicted_image
from caflow_cli.training.phases import learning_rate
from caflow_cli.training.resolve import merged

pytestmark = pytest.mark.usefixtures("without_curves")  # but in the runs that tests share

BATCH, SIZE = 8, 16


def config(images: Path, out: Path, *settings: str) -> RunConfig:
    return parse(RunConfig, merged(tiny(images, out), ["optim.bf16=true", *settings]))


def events(out: Path, kind: str) -> list[dict]:
    lines = (out / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["event"] == kind]


def state(out: Path, step: int, file: str = "model") -> dict[str, torch.Tensor]:
    return load_file(out / "state" / f"step-{step:08d}" / f"{file}.safetensors")


def same_state(a: Path, b: Path, step: int = 10) -> None:
    for file in ("model", "ema", "optimizer"):
        x, y = (state(out, step, file) for out in (a, b))
        assert x.keys() == y.keys()
        assert all(torch.equal(x[key], y[key]) for key in x), file


def test_a_new_model_is_tested_on_what_its_run_did_not_see_and_so_are_its_successors(tmp_path):
    """Of 100 images; and of a run from a model of the old rule, on the same set."""
    (tmp_path / "data").mkdir()
    generator = np.random.default_rng(0)
    for index in range(100):
        pixels = generator.uniform(0, 255, (SIZE, SIZE, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / f"{index:03}.png")
    old = config(tmp_path / "data", tmp_path / "old", "optim.images=8", "hold_out=2%")
    train(old)
    source = f"init_from={tmp_path / 'old' / 'best.safetensors'}"
    unknown = tmp_path / "unknown.safetensors"
    model = CAFlow.load(tmp_path / "old" / "best.safetensors")
    model.save(unknown, {"data": "data"})
    with pytest.raises(CaflowError, match="does not state how images were held out"):
        train(config(tmp_path / "data", tmp_path / "not", f"init_from={unknown}"))
    for name, more, rule, held in (("new", [], "20+", 20), ("next", [source], "2%", 2)):
        seen = []
        run = config(tmp_path / "data", tmp_path / name, "optim.images=8", *more)
        train(run, report=seen.append)
        assert seen[0]["train"] == 100 - 2 * held
        parts = [seen[0][name] for name in ("choose", "calibrate", "test")]
        assert parts == ([10, 10, 20] if rule == "20+" else [2, 2, 2])
        assert seen[0]["halved"] == (rule == "20+")
        model = CAFlow.load(tmp_path / name / "best.safetensors")
        assert model.hold_out == rule
        with pytest.raises(CaflowError, match=r"hold_out is '.*', and the run"):
            train(replace(run, hold_out="2%" if rule == "20+" else "20+"), resume=True)
        found = evaluate(model, tmp_path / "data", "rmse", split="test", candidates=1)
        assert found.images == held


def test_progress_ends_at_100_percent_where_the_last_batch_exceeds_the_budget(photos, tmp_path):
    seen: list[dict] = []
    train(config(photos, tmp_path / "run", "optim.images=73"), report=seen.append)
    assert [e["progress"] for e in seen if e["event"] == "step"] == [1.0]


class Stop(Exception):
    """Ends a run as a kill would, between two states."""


def stop_at(step):
    """A `report` that kills the run during the validation after `step`, a multiple of five."""

    def report(event):
        if event["event"] == "validation" and event["step"] == step:
            raise Stop

    return report


def stopped(run: RunConfig, step: int) -> None:
    with pytest.raises(Stop):
        train(run, report=stop_at(step))


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
    assert Image.open(out / "curve.png").size == (960, 540)
    grid = np.asarray(Image.open(sorted((out / "samples").iterdir())[0]))
    assert grid.shape == (6 * SIZE, 6 * SIZE, 3)  # condition, four candidates, truth
    assert [p.name for p in sorted((out / "state").iterdir())] == ["step-00000005", "step-00000010"]


def test_a_state_knows_the_validation_that_follows_it(photos, tmp_path):
    run = config(photos, tmp_path / "run", "save_every=1", "validate_every=1000")
    summary = train(run)
    [*_, newest] = sorted((tmp_path / "run" / "state").iterdir())
    record = json.loads((newest / "state.json").read_text())
    assert record["best_bits_per_dim"] == summary.best_val_bits_per_dim


def test_the_saved_model_is_the_average_and_measures_as_logged(photos, straight):
    out, summary = straight
    model, info = CAFlow.load(out / "last.safetensors"), read_info(out / "last.safetensors")
    assert info.training["images"] == 10 * BATCH
    assert info.training["domain"] is None  # of eight images
    assert info.config.task.size == SIZE
    average, live = (state(out, 10, name) for name in ("ema", "model"))
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


def test_an_unknown_keyword_is_answered_with_the_nearest_one(photos, tmp_path):
    with pytest.raises(CaflowError, match="unknown keyword 'resum'") as caught:
        train(config(photos, tmp_path / "run"), resum=True)
    assert caught.value.hint == "did you mean 'resume'?"
    assert not (tmp_path / "run").exists()


def test_a_damaged_state_is_named_and_the_one_before_can_be_used(photos, straight, tmp_path):
    out, _ = straight
    run, newest = tmp_path / "run", tmp_path / "run" / "state" / "step-00000010"
    shutil.copytree(out, run)
    (newest / "model.safetensors").write_bytes(b"x")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"event": "st')  # a killed process
    with pytest.raises(CaflowError, match=r"cannot resume from .*step-00000010") as caught:
        train(config(photos, run), resume=True)
    assert "remove it" in caught.value.hint
    shutil.rmtree(newest)
    train(config(photos, run), resume=True)
    same_state(out, run)
    assert len(events(run, "validation")) == 2
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

    # Killed as it began.
    (out / "samples").mkdir(parents=True)
    left = [".caflow-0123456789ab.tmp", "samples/.caflow-0123456789ab.tmp", ".mine"]
    for name in left:
        (out / name).touch()
    (out / "metrics.jsonl").write_text('{"event": "data", "step": 0, "images": 0}\n')
    train(config(photos, out, "optim.images=8"), report=start_another)
    assert "another process is training in" in refusals[1].message
    assert {r.exit_code for r in refusals} == {2}
    assert not list(out.rglob("*.tmp"))
    assert (out / ".mine").exists()
    before = (straight[0] / "metrics.jsonl").read_bytes()
    with pytest.raises(CaflowError, match="already holds a run"):
        train(config(photos, straight[0]))
    assert (straight[0] / "metrics.jsonl").read_bytes() == before
    (tmp_path / "file").write_text("")
    with pytest.raises(CaflowError, match="cannot write to") as caught:
        train(config(photos, tmp_path / "file" / "run"))
    assert (caught.value.exit_code, caught.value.hint) == (2, "choose another --out")
    with pytest.raises(CaflowError):
        train(config(tmp_path / "gone", tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_init_from_starts_where_the_model_is_with_the_runs_own_task(photos, straight, tmp_path):
    out, summary = straight
    source = f"init_from={out / 'last.safetensors'}"
    still = [source, "optim.lr=1e-9", "optim.images=8"]
    again = train(config(photos, tmp_path / "next", *still))
    assert (tmp_path / "next" / "state" / "step-00000001").exists()
    assert again.val_bits_per_dim == pytest.approx(summary.val_bits_per_dim, abs=1e-4)
    for other in ("flow.hidden=16", "flow.t_steps=2"):
        with pytest.raises(CaflowError, match="a different architecture") as caught:
            train(config(photos, tmp_path / "other", source, other))
        assert caught.value.exit_code == 2
    stable = ["optim.schedule=stable", "optim.decay_share=0", "optim.warmup=2", "seed=1"]
    seen: list[dict] = []
    on = config(photos, tmp_path / "on", *stable, source, "task.candidates=7")
    second = train(on, report=seen.append)
    assert {event["lr"] for event in seen if event["event"] == "step"} == {on.optim.lr}
    assert second.val_bits_per_dim < summary.val_bits_per_dim
    assert read_info(tmp_path / "on" / "last.safetensors").config.task.candidates == 7


GUIDED = (
    "flow.guide=8",
    "flow.guide_net=unet",
    "optim.guide_first=0.4",
    "optim.guide_perceptual=0",
    "save_every=2",
)


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
    assert (step, re.sub(r"\d\.\d+", "x", text)) == (4, "guide (L1): x; next: flows")
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


def test_a_guide_has_the_stated_rate_and_a_resumed_run_that_of_its_beginning(photos, tmp_path):
    net = ("flow.guide=8", "flow.guide_net=unet", "optim.guide_perceptual=0")
    out = tmp_path / "run"
    with pytest.raises(CaflowError, match="while the guide trained alone"):
        train(config(photos, out, *net, "optim.guide_first_lr=5e-4", "optim.images=8"))
    train(config(photos, out, *net, "optim.images=16"), resume=True)
    written = (out / "config.toml").read_text()
    assert "guide_first = 0.35\nguide_first_lr = 0.0005\n" in written


def test_the_guide_is_fixed_after_its_phase_and_actnorms_are_set_then(photos, guided, tmp_path):
    stopped(config(photos, half := tmp_path / "half", *GUIDED), 5)
    alone = state(half, 4)
    flags = [name for name in alone if name.endswith(".initialized")]
    assert flags
    assert not any(alone[name] for name in flags)
    train(config(photos, half, *GUIDED), resume=True)
    same_state(half, guided[0])
    final = state(half, 10)
    assert all(final[name] for name in flags)
    guide = [name for name in final if name.startswith("A.guide.")]
    assert all(torch.equal(final[name], alone[name]) for name in guide)  # it is fixed


def test_a_budget_that_ends_while_the_guide_trains_leaves_a_state_and_no_model(
    photos, guided, tmp_path
):
    out = tmp_path / "run"
    for resume in (False, True):
        with pytest.raises(CaflowError, match="ended after step 1, while the guide") as caught:
            train(config(photos, out, *GUIDED, "optim.images=8"), resume=resume)
        assert caught.value.exit_code == 1
        assert f"caflow train --out {out} --resume" in caught.value.hint
    assert list(out.glob("*.safetensors")) == []
    assert not events(out, "end")
    assert [path.name for path in (out / "state").iterdir()] == ["step-00000001"]
    # The flows of a model that a run begins with have trained; another guide starts anew.
    source = f"init_from={guided[0] / 'best.safetensors'}"
    other = [*GUIDED, "flow.guide=5", "optim.images=8", source]
    train(config(photos, tmp_path / "other", *other))
    runs = guided[0], tmp_path / "other"
    theirs, ours = (load_file(path / "best.safetensors") for path in runs)
    assert ours["A.guide.head.weight"].shape != theirs["A.guide.head.weight"].shape
    unchanged = "T.scales.0.transitions.0.invconv.lu"
    assert torch.equal(ours[unchanged], theirs[unchanged])


def test_a_guide_alone_leaves_a_model_that_chains_of_runs_go_on_from(photos, tmp_path):
    """Two runs of the guide at a constant rate, and one of the flows around it."""
    alone = ["flow.guide=8", "flow.guide_net=unet", "optim.guide_first=1"]
    alone += ["optim.guide_perceptual=0"]
    alone += ["optim.schedule=stable", "optim.decay_share=0", "optim.warmup=1"]
    first, second, flows = (tmp_path / name for name in ("first", "second", "flows"))
    summary = train(config(photos, first, *alone))
    assert summary.val_bits_per_dim is None
    path = first / "best.safetensors"
    assert read_info(path).training["val_psnr"] == pytest.approx(summary.val_psnr, abs=1)
    assert [e["step"] for e in events(first, "validation")] == [5, 10]
    weights = load_file(path)
    assert not any(weights[name] for name in weights if name.endswith(".initialized"))
    image = np.asarray(Image.open(photos / "val" / "003.png"))
    model = CAFlow.load(path)
    y = get_task(model.config).degrade(image)
    drawn = restore(model, y, 0.0, 1).ranked[0].image
    condition = torch.from_numpy(get_task(model.config).parts(y)[0].condition(y))
    with torch.no_grad():
        predicted = predicted_image(model, condition.permute(2, 0, 1)[None] + 0.5)
    assert np.array_equal(drawn, predicted[0].floor().permute(1, 2, 0).numpy())

    seen: list[dict] = []
    source = f"init_from={first / 'last.safetensors'}"
    longer = train(config(photos, second, *alone, source, "seed=1"), report=seen.append)
    assert longer.val_psnr > summary.val_psnr
    assert {e["lr"] for e in seen if e["event"] == "step"} == {7e-4}
    source = f"init_from={second / 'best.safetensors'}"
    end = train(config(photos, flows, "flow.guide=8", "flow.guide_net=unet", source))
    assert end.val_bits_per_dim < 8
    guide = load_file(second / "best.safetensors")
    final = load_file(flows / "best.safetensors")
    assert all(torch.equal(final[n], guide[n]) for n in guide if n.startswith("A.guide."))
    assert all(final[name] for name in final if name.endswith(".initialized"))


def test_a_run_whose_steps_turn_bad_ends_and_can_be_resumed(photos, tmp_path):
    """From step 10 on the training images are noise, whose loss is far higher."""
    data = tmp_path / "data"
    shutil.copytree(photos, data)
    generator = np.random.default_rng(0)

    def report(event):
        if event["event"] == "step" and event["step"] == 10:
            for path in (data / "train").iterdir():
                Image.fromarray(255 * generator.integers(0, 2, (16, 16, 3), np.uint8)).save(path)

    run = config(
        data, tmp_path / "wild", "optim.images=320", "data_memory_gb=0", "validate_every=40"
    )
    with pytest.raises(CaflowError, match=r"does not recover: 2. of 3. steps") as caught:
        train(run, report=report)
    assert "--resume --lr" in caught.value.hint
    shutil.copytree(photos, data, dirs_exist_ok=True)
    summary = train(run, resume=True)
    assert (summary.steps, summary.skipped_steps) == (40, 0)
    assert summary.val_bits_per_dim < 8


def test_a_run_that_cannot_recover_fails(photos, tmp_path):
    settings = ["optim.batch_size=1", "validate_every=1000", "save_every=1000"]
    settings += ["optim.images=2000", "optim.lr=1e30", "optim.warmup=1", "optim.bf16=false"]
    with pytest.raises(CaflowError, match="training does not recover") as caught:
        train(config(photos, tmp_path / "lost", *settings))
    assert "--lr" in caught.value.hint


def test_a_run_of_crops_masks_and_samples_ends_alike_whether_it_was_stopped_or_not(tmp_path):
    """The images have many sizes and are decoded at each visit. Holes come from masks in another
    folder, which the model's file must not name.
    """
    data, masks = tmp_path / "data", tmp_path / "hidden-masks"
    masks.mkdir()
    generator = np.random.default_rng(0)
    for split, count in (("train", 12), ("val", 20), ("test", 1)):
        (data / split).mkdir(parents=True)
        for index in range(count):
            corners = Image.fromarray(generator.uniform(0, 255, (3, 4, 3)).astype(np.uint8))
            size = (20 + 7 * index, 17 + 3 * (index % 4))
            corners.resize(size, Image.Resampling.BICUBIC).save(data / split / f"{index:02}.png")
    for index in range(6):
        mask = Image.new("L", (40, 40))
        mask.paste(255, (4 * index, 10, 4 * index + 5, 30))
        mask.save(masks / f"{index}.png")
    settings = [f"masks={masks}", "crop=random", "task.name=inpaint", "flow.cond_channels=4"]
    settings += [
        "flow.anchor=pixels",
        "flow.guide=4",
        "flow.guide_net=unet",
        "flow.spread=4",
        "data_memory_gb=0",
    ]
    settings += ["optim.guide_first=0.2", "optim.guide_perceptual=0"]
    settings += ["samples.share=0.6", "samples.tau=0.7", "samples.perceptual=0"]
    settings += ["optim.images=48", "save_every=2", "validate_every=5", "hold_out=2%"]
    straight, half = tmp_path / "straight", tmp_path / "half"
    assert train(config(data, straight, *settings)).val_image_loss > 0
    stopped(config(data, half, *settings), 5)
    train(config(data, half, *settings), resume=True)
    same_state(straight, half, 6)
    assert events(straight, "data")[0]["train"] == 12
    assert "hidden-masks" in (straight / "config.toml").read_text()
    for name in ("best", "last"):
        assert b"hidden-masks" not in (straight / f"{name}.safetensors").read_bytes()
    path = straight / "best.safetensors"
    assert read_info(path).training["domain"] is not None  # of twenty images
    image = np.asarray(Image.open(data / "val" / "03.png"))
    mask = np.zeros(image.shape[:2], np.uint8)
    mask[6:11, 7:12] = 255
    best = restore(CAFlow.load(path), image, 0.5, 3, mask=mask).ranked[0]
    assert np.array_equal(best.image[mask == 0], image[mask == 0])


def test_a_variant_trains_and_restores(photos, tmp_path):
    out, batch = tmp_path / "variant", "optim.batch_size=32"  # of more images than there are
    settings = ["flow.conditional=shared", "flow.dequantization=variational", "flow.scales=2"]
    summary = train(config(photos, out, *settings, "optim.images=64", batch))
    assert (summary.steps, summary.skipped_steps) == (2, 0)
    assert math.isfinite(summary.val_bits_per_dim)
    model = CAFlow.load(out / "best.safetensors")
    image = np.full((8, 8, 3), 90, np.uint8)
    best = restore(model, image, 0.5, 3).ranked[0]
    again = score(model, image, best.image)
    assert again.log_likelihood == pytest.approx(best.score.log_likelihood, abs=1e-2)
