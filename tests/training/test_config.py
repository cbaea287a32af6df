"""The config of a run: its file, its defaults, what is refused, and what may change later."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from caflow_cli.config import Config, FlowConfig, preset
from caflow_cli.errors import CaflowError
from caflow_cli.model import upgrade
from caflow_cli.records import parse
from caflow_cli.training import OptimConfig, RunConfig
from caflow_cli.training.config import to_toml
from caflow_cli.training.settings import build_config, merged
from caflow_cli.training.state import check_unchanged


def minimal(**optim):
    return {"data": "d", "out": "o", "optim": {"images": 64, **optim}}


def given(*settings: str, **values) -> RunConfig:
    """A config of these settings alone, without a preset."""
    return parse(RunConfig, merged({**minimal(), **values}, settings))


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("optim", [{"images": None}, {"minutes": 1.0}, {"images": -3}])
def test_exactly_one_positive_budget(optim):
    with pytest.raises(CaflowError) as caught:
        build_config(minimal(**optim))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "setting",
    [
        *("optim.lr=NaN", "optim.ema=1.0", "optim.guide_first=1.0", "optim.guide_first_lr=0"),
        *("samples.share=1.5", "samples.weight=0", "optim.checkerboard_weight=-1", "seed=-1"),
        *("validate_every=0", "crop=some", "mask_share=0", "task.size=28", "task.size=40"),
        *("flow.cond_channels=4", "task.name=paint", "task.degrade=old", "optim.warmup=-1"),
    ],
)
def test_what_cannot_run_is_refused_before_it_does(setting):
    with pytest.raises(CaflowError) as caught:
        given(setting)
    assert caught.value.exit_code == 2


_GUIDED = ["flow.guide=8", "optim.guide_first=0.3"]
_CHECKERBOARD = "optim.checkerboard_weight=1"


@pytest.mark.parametrize(
    ("settings", "named", "hint"),
    [
        (["optim.guide_first=0.5", "flow.guide=0"], "optim.guide_first", "give the model a guide"),
        (["crop=random", "task.name=paired"], "task.native", "set task.native to true"),
        (["task.native=true", "task.name=paired"], "task.native", "--crop random"),
        (["task.native=true"], "task.native", "false"),
        (["masks=folder"], "masks", "inpaint"),
        ([*_GUIDED, "samples.share=0.8"], "samples.share", "at most 0.7"),
        ([*_GUIDED, "task.size=16", _CHECKERBOARD], "optim.checkerboard_weight", "32 or more"),
        ([*_GUIDED, "optim.guide_perceptual=0", _CHECKERBOARD], "optim.checkerboard_weight", "0"),
        (["task.size=16", "samples.checkerboard_weight=1"], "samples.checkerboard_weight", "0"),
    ],
)
def test_what_does_not_fit_the_task_or_each_other_is_refused(settings, named, hint):
    with pytest.raises(CaflowError, match=f"^{named} is ") as caught:
        given(*settings)
    assert caught.value.exit_code == 2
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("flow.tsteps=3", "flow.t_steps"),
        ("flow.t_steps=3.5", "an integer, 0 or more"),
        ("optim.bf16=1", "true or false"),
        ("novalue", "--set"),
        ("optim=3", "a table"),
        ("optim.schedule=step", "cosine or stable or paper"),
        ("optim.accumulate=3", "divisor of the batch size 32"),
        ("tracker=comet", "tensorboard"),
    ],
)
def test_unusable_settings_name_what_would_work(setting, hint):
    with pytest.raises(CaflowError) as caught:
        build_config(minimal(), [setting])
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


# --- files and settings ---------------------------------------------------------------------------


@pytest.mark.parametrize("data", ['a "quoted" ünïcode path', "\N{CAMERA}/a", "\x7f\t\\"])
def test_the_config_file_reads_back(data):
    tomllib = pytest.importorskip("tomllib")
    config = given("task.tau=[0.9, 0.7, 0.5]", "flow.hidden=[48,64,96]", data=data)
    assert parse(RunConfig, tomllib.loads(to_toml(config))) == config
    assert (config.data, config.flow.hidden, config.task.tau) == (
        data,
        (48, 64, 96),
        (0.9, 0.7, 0.5),
    )


def test_a_config_file_of_names_in_bytes():
    in_bytes = "фото".encode().decode("ascii", "surrogateescape")  # as under LANG=C
    assert 'data = "фото"' in to_toml(given(data=in_bytes))
    with pytest.raises(CaflowError, match="not UTF-8") as caught:
        to_toml(given(data="\udce9"))
    assert caught.value.exit_code == 2


def test_retired_fields_are_accepted_at_the_value_that_is_built_in():
    old = {
        **minimal(lr_floor=0.01, beta2=0.99, clip=1.0, guide_lattice=2.0, guide_lr_share=0.0),
        **{"zoom": 0.0, "grid_every": 7, "samples": {"lattice": 0.5}},
    }
    new = upgrade(old)
    assert new["optim"] == {"images": 64, "checkerboard_weight": 2.0}
    assert new["samples"] == {"checkerboard_weight": 0.5}
    assert "zoom" not in new
    assert "zoom" in old
    together = minimal(guide_lr_share=0.06, guide_first=0.3)  # the guide trained with the flows
    for values, key in ((minimal(clip=2), "clip is 2"), (together, "guide_lr_share is 0.06")):
        with pytest.raises(CaflowError, match=f"optim.{key}") as caught:
            upgrade(values)
        assert caught.value.exit_code == 2


# --- defaults -------------------------------------------------------------------------------------


def test_a_run_is_compact_for_its_task_unless_something_states_otherwise():
    assert build_config(minimal()).flow == preset("compact", "superres")
    assert build_config(minimal(), ["flow.t_steps=3"]).flow == replace(preset("compact"), t_steps=3)
    for factor, reads in ((3, 2), (4, 4), (6, 4), (32, 16)):
        run = build_config(minimal(), [f"task.factor={factor}", "task.size=192"])
        assert (run.flow.guide_net, run.flow.guide_factor) == ("enlarge", reads)
    assert build_config({**minimal(), "flow": {"t_steps": 3}}).flow == FlowConfig(t_steps=3)
    for values, settings in (({"task": {"name": "inpaint"}}, []), ({}, ["task.name=inpaint"])):
        run = build_config({**minimal(), **values}, settings)
        assert run.flow == preset("compact", "inpaint")
        assert (run.flow.cond_channels, run.flow.anchor) == (4, "pixels")
    papers = build_config(minimal(), ["flow.cond_channels=3"], task="inpaint").flow
    assert (papers.cond_channels, papers.anchor) == (3, "none")
    file = {**minimal(), "flow": {"cond_channels": 3, "t_steps": 1}}  # of another task's run
    assert build_config(file, preset="compact", task="inpaint").flow == preset("compact", "inpaint")


def test_a_preset_of_the_paper_brings_its_budget_unless_one_is_named():
    values = {"data": "d", "out": "o"}
    assert build_config(values, preset="lsun-colorize").optim.minutes == 3 * 24 * 60
    optim = build_config(minimal(lr=1.0), ["optim.cond_weight=0.5"], preset="celeba-inpaint").optim
    assert (optim.images, optim.minutes) == (64, None)
    assert (optim.lr, optim.cond_weight, optim.schedule, optim.method) == (
        1.0,
        0.5,
        "paper",
        "adam",
    )


@pytest.mark.parametrize("task", ["superres", "inpaint", "colorize"])
def test_a_new_guide_trains_first(task):
    run = build_config(minimal(), task=task)
    assert run.optim.guide_first == 0.35
    assert run.optim.guide_first_lr == (7e-4 if run.flow.guide_net == "unet" else 2e-3)
    assert build_config(minimal(), ["optim.guide_first=0.3"], task=task).optim.guide_first == 0.3
    assert build_config(minimal(), ["flow.guide=0"], task=task).optim.guide_first == 0
    start = Config(run.flow, run.task)
    values = {**minimal(), "init_from": "model.safetensors"}
    assert build_config(values, task=task, start=start).optim.guide_first == 0  # it has trained
    guide = "4" if run.flow.guide_net == "enlarge" else "[4,4,4,4]"
    another = build_config(values, [f"flow.guide={guide}"], task=task, start=start)
    assert another.optim.guide_first == 0.35


def test_a_guide_trains_by_lpips_where_vgg_is_at_hand_and_images_are_large_enough(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("CAFLOW_LPIPS_VGG_WEIGHTS", raising=False)
    checkerboard = ["optim.checkerboard_weight=2"]
    assert build_config(minimal()).optim.guide_perceptual == 0.0
    assert build_config(minimal(), checkerboard).optim.checkerboard_weight == 0.0
    assert build_config(minimal(), ["optim.guide_perceptual=1.5"]).optim.guide_perceptual == 1.5
    named = {**minimal(), "perceptual_weights": "trunk.safetensors"}
    assert build_config(named).optim.guide_perceptual == 2.0
    in_python = RunConfig("photos", "run", OptimConfig(images=8)).optim
    assert (in_python.guide_first, in_python.guide_perceptual) == (0.35, 0.0)
    monkeypatch.setenv("CAFLOW_LPIPS_VGG_WEIGHTS", "trunk.safetensors")
    in_python = RunConfig("photos", "run", OptimConfig(images=8)).optim
    assert (in_python.guide_first, in_python.guide_perceptual) == (0.35, 2.0)
    assert build_config(minimal(), checkerboard).optim.checkerboard_weight == 2.0
    tiny = ["task.size=8", "flow.scales=1", "flow.hidden=8", "flow.trunk=0"]
    assert build_config(minimal(), tiny).optim.guide_perceptual == 0.0


def test_a_run_from_another_models_weights_takes_its_flow_and_task_and_a_short_stable_warm_up():
    first = build_config(minimal(), ["task.size=32", "task.factor=2", "flow.t_steps=3"])
    task = replace(first.task, tau=(0.9, 0.7, 0.5))
    start = Config(first.flow, task)
    values = {**minimal(), "init_from": "model.safetensors"}
    run = build_config({**values, "task": {"candidates": 7}, "flow": {"guide": 4}}, start=start)
    assert run.task == replace(task, candidates=7)
    assert run.flow == replace(first.flow, guide=4)
    stable = ["optim.schedule=stable"]
    assert build_config(values, stable, start=start).optim.warmup == 150
    assert build_config(values, [*stable, "optim.warmup=7"], start=start).optim.warmup == 7
    assert build_config(minimal(), stable).optim.warmup == 500


# --- runs that go on ------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path):
    """The config of a run that began in a folder, with other settings on top."""
    settings = ["optim.guide_first=0.4", "samples.share=0.2", "flow.guide=4", "task.size=16"]

    def changed(*more: str) -> RunConfig:
        return given(*settings, *more, out=str(tmp_path))

    (tmp_path / "config.toml").write_text(to_toml(changed()))
    return changed


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["optim.images=160", "optim.lr=1e-4", "save_every=7", "device=cuda"],
        ["optim.images=null", "optim.minutes=3"],
        ["optim.guide_first=0.2", "optim.guide_perceptual_from=0.7", "samples.share=0.1"],
        ["task.tau=[0.9, 0.7, 0.5]", "task.candidates=3"],
    ],
)
def test_budget_rates_and_weights_may_change(run, tmp_path, settings):
    check_unchanged(run(*settings))
    (tmp_path / "config.toml").write_text("no TOML")
    check_unchanged(run("seed=1"))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed=1", "seed is 1, and the run in '.*' began with 0"),
        ("flip=false", "flip is False, .* with True"),
        ("optim.method=adam", "optim.method is 'adam', .* with 'muon'"),
        ("task.factor=2", "task.factor is 2, .* with 4"),
        ("flow.t_steps=2", "flow.t_steps is 2, .* with 8"),
        ("optim.guide_perceptual=0", "phases is '.*L1.*', .* with '.*L1 and LPIPS"),
        ("samples.share=0", "phases is .* with '.*, flows with a loss on samples'"),
    ],
)
def test_what_makes_another_run_of_it_is_refused(run, setting, message):
    with pytest.raises(CaflowError, match=message) as caught:
        check_unchanged(run(setting))
    assert caught.value.exit_code == 2
    assert re.search("budget, rates.*--init-from", caught.value.hint)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("mask_share=0.1", "mask_share is 0.1, .* with 0.5"),
        ("masks=null", "masks is False, .* True"),
    ],
)
def test_the_share_of_masks_stays_where_there_are_any(run, tmp_path, setting, message):
    holes = ["task.name=inpaint", "flow.cond_channels=4", "masks=folder"]
    (tmp_path / "config.toml").write_text(to_toml(run(*holes)))
    check_unchanged(run(*holes, "masks=another"))
    with pytest.raises(CaflowError, match=message):
        check_unchanged(run(*holes, setting))
