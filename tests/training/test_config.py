"""The config of a run: its file, its defaults, what is refused, and what may change later."""

from dataclasses import replace
from pathlib import Path

import pytest

from caflow_cli.config import Config, FlowConfig, TaskConfig
from caflow_cli.errors import CaflowError
from caflow_cli.records import parse
from caflow_cli.tasks import preset
from caflow_cli.training import OptimConfig, RunConfig
from caflow_cli.training.config import to_toml
from caflow_cli.training.folder import check_unchanged
from caflow_cli.training.resolve import build_config, merged, with_defaults


def minimal(**optim):
    return {"data": "d", "out": "o", "optim": {"images": 64, **optim}}


def given(*settings: str, **values) -> RunConfig:
    """A config of these settings alone, without a preset."""
    return parse(RunConfig, merged({**minimal(), **values}, settings))


def built(*settings: str, **options) -> RunConfig:
    return build_config(minimal(), settings, **options)


_OF_FIELDS = (
    "flow.anchor=field flow.target_channels=1 flow.cond_channels=2 flow.guide_net=censored "
    "flow.guide=8 flow.spread=0 task.reduce=mean task.values.unit=mm/h task.values.transform=db "
    "task.values.low=0 task.values.high=150 task.values.zero=0.1 crop=random"
)
_GUIDED = "flow.guide=8 flow.guide_net=unet optim.guide_first=0.3"


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ("optim.images=null", "the budget is", "one of --images N and --minutes M"),
        ("optim.lr=NaN", "optim.lr is nan", ""),
        ("optim.ema=1.0", "optim.ema is 1.0", "below 1"),
        ("samples.share=1.5", "samples.share is 1.5", "0 to 1"),
        ("mask_share=0", "mask_share is 0", "above 0"),
        ("crop=some", "crop is 'some'", "whole or random"),
        ("task.size=28", "task.size is 28", "multiple of 16"),
        ("flow.tsteps=3", "unknown key 'flow.tsteps'", "flow.t_steps"),
        ("optim.accumulate=3", "optim.accumulate is 3", "divisor of the batch size 32"),
        ("optim.guide_first=0.5 flow.guide=0", "optim.guide_first is", "a guide"),
        ("recolor=true task.name=paired", "recolor is True", "false: a stored condition"),
        ("crop=random task.name=paired", "task.native is False", "true with --crop random"),
        ("task.native=true task.name=paired", "task.native is True", "false with --crop whole"),
        ("masks=folder", "masks is 'folder'", "inpaint"),
        (f"{_GUIDED} samples.share=0.8", "samples.share is 0.8", "at most 0.7"),
        ("task.size=16 samples.checkerboard_weight=1", "task.size is 16", "32 or more"),
        ("novalue", "has no value", "--set"),
        ("optim.lr.x=1", "optim.lr is", ""),
        ("data.x=1", "unknown config key 'data.x'", "--set"),
    ],
)
def test_what_cannot_run_is_refused_before_it_does(settings, message, hint):
    with pytest.raises(CaflowError) as caught:
        given(*settings.split())
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("data", ['a "quoted" ünïcode path', "\N{CAMERA}/a", "\x7f\t\\"])
def test_the_config_file_reads_back(data):
    tomllib = pytest.importorskip("tomllib")
    config = given("task.tau=[0.9, 0.7, 0.5]", "flow.hidden=[48,64,96]", data=data)
    assert parse(RunConfig, tomllib.loads(to_toml(config))) == config
    assert (config.data, config.flow.hidden) == (data, (48, 64, 96))
    of_fields = given(*_OF_FIELDS.split())
    assert parse(RunConfig, tomllib.loads(to_toml(of_fields))) == of_fields
    in_bytes = "фото".encode().decode("ascii", "surrogateescape")  # as under LANG=C
    assert 'data = "фото"' in to_toml(given(data=in_bytes))
    with pytest.raises(CaflowError, match="not UTF-8") as caught:
        to_toml(given(data="\udce9"))
    assert caught.value.exit_code == 2


def test_a_run_is_compact_for_its_task_unless_something_states_otherwise():
    assert built().flow == preset("compact", "superres")
    assert built("flow.t_steps=3").flow == replace(preset("compact"), t_steps=3)
    nets = {3: ("enlarge", 2), 4: ("compact", 4), 6: ("enlarge", 4), 32: ("enlarge", 16)}
    for factor, net in nets.items():
        run = built(f"task.factor={factor}", "task.size=192")
        assert (run.flow.guide_net, run.flow.guide_factor) == net
    of_file = build_config({**minimal(), "flow": {"t_steps": 3}})  # as of --config
    assert of_file == built("flow.t_steps=3")
    assert (of_file.flow.guide_net, of_file.flow.anchor, of_file.transpose) == (
        *("compact", "enlarged"),
        True,
    )
    assert of_file.hold_out is None  # "20+", when it begins
    going_on = {**minimal(), "flow": {"t_steps": 3}}
    assert build_config(going_on, resume=True).flow == FlowConfig(t_steps=3)
    inpaint = build_config({**minimal(), "task": {"name": "inpaint"}})
    for run in (inpaint, built("task.name=inpaint"), built(task="inpaint")):
        assert run.flow == preset("compact", "inpaint")
        assert (run.flow.cond_channels, run.flow.anchor) == (4, "pixels")
    papers = built("flow.cond_channels=3", "flow.anchor=none", task="inpaint").flow
    assert papers.cond_channels == 3
    file = {**minimal(), "flow": {"cond_channels": 3, "t_steps": 1}}  # of another task's run
    assert build_config(file, preset="compact", task="inpaint").flow == preset("compact", "inpaint")


def test_runs_of_superres_show_all_orientations():
    run = built()
    assert (run.transpose, run.orientations) == (True, 8)
    assert build_config({**minimal(), "init_from": "m"}, start=Config(run.flow, run.task)).transpose
    assert built("transpose=false").orientations == 2
    assert built("flip=false").orientations == 1
    assert built(task="inpaint").orientations == 2
    in_python = RunConfig("photos", "run", OptimConfig(images=8))
    assert with_defaults(in_python).orientations == 8
    assert with_defaults(replace(in_python, flip=False)).orientations == 1


def test_a_preset_of_the_paper_brings_its_task_and_its_budget_unless_one_is_named():
    run = build_config({"data": "d", "out": "o"}, preset="lsun-colorize")
    assert (run.optim.minutes, run.task.name, run.flow.cond_channels) == (4320, "colorize", 1)
    run = built("optim.lr=1", "optim.cond_weight=0.5", preset="celeba-inpaint")
    optim = run.optim
    assert (run.task.name, run.flow.cond_channels) == ("inpaint", 3)
    assert (optim.images, optim.minutes, optim.lr, optim.cond_weight) == (64, None, 1.0, 0.5)
    assert (optim.schedule, optim.method) == ("paper", "adam")


@pytest.mark.parametrize("task", ["superres", "inpaint", "colorize"])
def test_a_new_guide_trains_first(task):
    run = built(task=task)
    assert run.optim.guide_first == 0.35
    rates = {"compact": 1e-3, "unet": 7e-4}
    assert run.optim.guide_first_lr == rates[run.flow.guide_net]
    assert built("optim.guide_first=0.3", task=task).optim.guide_first == 0.3
    assert built("flow.guide=0", task=task).optim.guide_first == 0
    start = Config(run.flow, run.task)
    values = {**minimal(), "init_from": "model.safetensors"}
    assert build_config(values, task=task, start=start).optim.guide_first == 0  # it has trained
    guide = "4" if run.flow.guide_net == "compact" else "[4,4,4,4]"
    another = build_config(values, [f"flow.guide={guide}"], task=task, start=start)
    assert another.optim.guide_first == 0.35


def test_a_guide_trains_by_lpips_where_vgg_is_at_hand_and_images_are_large_enough(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("CAFLOW_LPIPS_VGG_WEIGHTS", raising=False)
    assert built(task="inpaint").optim.guide_perceptual == 0.0
    assert built("optim.guide_perceptual=1.5", task="inpaint").optim.guide_perceptual == 1.5
    given = 'perceptual_weights="trunk.safetensors"'
    assert built(given, task="inpaint").optim.guide_perceptual == 2.0
    assert built(given).optim.guide_perceptual == 0.0  # by L1 alone
    monkeypatch.setenv("CAFLOW_LPIPS_VGG_WEIGHTS", "trunk.safetensors")
    flow, task = preset("compact", "inpaint"), TaskConfig("inpaint")
    run = RunConfig("photos", "run", OptimConfig(images=8), flow, task)
    in_python = with_defaults(run).optim
    assert (in_python.guide_first, in_python.guide_perceptual) == (0.35, 2.0)
    tiny = ["task.size=8", "flow.scales=1", "flow.hidden=8", "flow.trunk=0", "flow.guide=[4,4]"]
    assert built(*tiny, task="inpaint").optim.guide_perceptual == 0.0


def test_values_that_python_states_for_a_guide_stay():
    flow, task = preset("compact", "superres"), TaskConfig()
    unset = with_defaults(RunConfig("d", "o", OptimConfig(images=8), flow, task)).optim
    assert (unset.guide_first, unset.guide_first_lr, unset.guide_perceptual) == (0.35, 1e-3, 0.0)
    stated = {"guide_first": 0.0, "guide_first_lr": 2e-3, "guide_perceptual": 2.0}
    run = RunConfig("d", "o", OptimConfig(images=8, **stated), flow, task)
    assert with_defaults(run) == replace(run, transpose=True)


def test_a_run_from_another_models_weights_takes_its_flow_and_task_and_a_short_stable_warm_up():
    first = built("task.size=32", "task.factor=2", "flow.t_steps=3")
    start = Config(first.flow, replace(first.task, tau=(0.9, 0.7, 0.5)))
    values = {**minimal(), "init_from": "model.safetensors"}
    run = build_config({**values, "task": {"candidates": 7}, "flow": {"guide": 4}}, start=start)
    assert run.task == replace(start.task, candidates=7)
    assert run.flow == replace(first.flow, guide=4)
    stable = ["optim.schedule=stable"]
    assert build_config(values, stable, start=start).optim.warmup == 150
    assert build_config(values, [*stable, "optim.warmup=7"], start=start).optim.warmup == 7
    assert built(*stable).optim.warmup == 500


_HOLES = ["task.name=inpaint", "flow.cond_channels=4", "masks=folder"]


@pytest.fixture
def run(tmp_path: Path):
    """The config of a run that began in a folder, with other settings on top."""
    settings = ["optim.guide_first=0.4", "samples.share=0.2", "flow.guide=4", "task.size=16"]
    settings += ["flow.guide_net=unet", "optim.guide_perceptual=2", "hold_out=20+"]
    settings += ["transpose=false"]

    def changed(*more: str) -> RunConfig:
        return given(*settings, *_HOLES, *more, out=str(tmp_path))

    (tmp_path / "config.toml").write_text(to_toml(changed()))
    return changed


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["optim.images=160", "optim.lr=1e-4", "save_every=7", "device=cuda"],
        ["optim.images=null", "optim.minutes=3"],
        ["optim.guide_first=0.2", "optim.guide_perceptual_from=0.7", "samples.share=0.1"],
        ["task.tau=[0.9, 0.7, 0.5]", "task.candidates=3", "masks=another"],
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
        ("transpose=true", "transpose is True, .* with False"),
        ("recolor=true", "recolor is True, .* with False"),
        ("optim.method=adam", "optim.method is 'adam', .* with 'muon'"),
        ("optim.batch_size=4", "optim.batch_size is 4, .* with 32"),
        ("task.holes=central", "task.holes is 'central', .* with 'mixed'"),
        ("flow.t_steps=2", "flow.t_steps is 2, .* with 8"),
        ("optim.guide_perceptual=0", "phases is '.*L1.*', .* with '.*L1 and LPIPS"),
        ("samples.share=0", "phases is .* with '.*, flows with a loss on samples'"),
        ("hold_out=2%", "hold_out is '2%', .* with '20.'"),
        ("mask_share=0.1", "mask_share is 0.1, .* with 0.5"),
        ("masks=null", "masks is False, .* True"),
    ],
)
def test_what_makes_another_run_of_it_is_refused(run, setting, message):
    with pytest.raises(CaflowError, match=message) as caught:
        check_unchanged(run(setting))
    assert caught.value.exit_code == 2
    assert "--init-from" in caught.value.hint
