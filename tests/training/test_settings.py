"""The config of a run from what a user gives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caflow_cli.config import Config, FlowConfig, TaskConfig, preset
from caflow_cli.errors import CaflowError
from caflow_cli.records import parse
from caflow_cli.training.settings import apply_settings, build_config


def minimal_budget():
    return {"data": "d", "out": "o"}


def minimal(**optim):
    return {"data": "d", "out": "o", "optim": {"images": 64, **optim}}


def test_a_run_is_compact_unless_something_says_otherwise():
    assert build_config(minimal()).flow == preset("compact", "superres")
    assert build_config(minimal(), ["flow.t_steps=3"]).flow == replace(preset("compact"), t_steps=3)
    own = {**minimal(), "flow": {"t_steps": 3}}
    assert build_config(own).flow == FlowConfig(t_steps=3)


def test_compact_is_told_the_known_pixels():
    for values, settings in (({"task": {"name": "inpaint"}}, []), ({}, ["task.name=inpaint"])):
        run = build_config({**minimal(), **values}, settings)
        assert (run.flow.cond_channels, run.flow.anchor) == (4, "pixels")
        assert run.flow == preset("compact", "inpaint")
    assert build_config(minimal(), task="inpaint").flow == run.flow


def test_compact_reads_a_grey_picture_from_afar():
    run = build_config(minimal(), task="colorize")
    assert (run.flow.cond_channels, run.flow.anchor) == (1, "luminance")
    assert run.flow == preset("compact", "colorize")


@pytest.mark.parametrize("table", ["task", "flow", "optim", "samples"])
def test_a_value_in_place_of_a_table_is_refused(table):
    for values, settings in (({**minimal(), table: 3}, []), (minimal(), [f"{table}=3"])):
        with pytest.raises(CaflowError, match=f"config key '{table}' is 3, not a table") as caught:
            build_config(values, settings)
        assert caught.value.exit_code == 2


def test_compact_for_the_papers_condition_of_inpainting_has_no_anchor():
    flow = build_config(minimal(), ["flow.cond_channels=3"], task="inpaint").flow
    assert flow == replace(preset("compact", "inpaint"), cond_channels=3, anchor="none")


def test_a_preset_takes_the_place_of_all_that_a_file_says_of_the_flow():
    """As in the `config.toml` of another task's run, whose channels say nothing of this one's."""
    file = {**minimal(), "flow": {"cond_channels": 3, "t_steps": 1}}
    flow = build_config(file, preset="compact", task="inpaint").flow
    assert flow == preset("compact", "inpaint")


@pytest.mark.parametrize(
    ("task", "settings", "first", "share"),
    [
        ("inpaint", [], 0.35, 0),
        ("inpaint", ["optim.guide_lr_share=0.1"], 0.35, 0.1),
        ("colorize", [], 0.35, 0),
        ("colorize", ["optim.guide_first=0.3"], 0.3, 0),
        ("colorize", ["flow.guide=0"], 0, 0.06),
        ("colorize", ["flow.anchor=none"], 0.35, 0.06),
        ("superres", [], 0.35, 0),
        ("superres", ["flow.guide=0"], 0, 0.06),
    ],
)
def test_a_guide_of_compact_learns_alone_first_in_a_new_run(task, settings, first, share):
    run = build_config(minimal(), settings, task=task)
    assert (run.optim.guide_first, run.optim.guide_lr_share) == (first, share)
    unet = bool(run.flow.guides) and run.flow.guide_net == "unet"
    assert run.optim.guide_first_lr == (7e-4 if unet else 2e-3)
    model, values = Config(run.flow, run.task), {**minimal(), "init_from": "model.safetensors"}
    going_on = build_config(values, task=task, start=model).optim
    anchored = run.flow.anchor != "none"
    kept = 0 if anchored and run.flow.guides else 0.06
    assert (going_on.guide_first, going_on.guide_lr_share) == (0, kept)
    guide = "4" if task == "superres" else "[4,4,4,4]"
    another = build_config(values, [f"flow.guide={guide}"], task=task, start=model).optim
    wanted = (0.35, 0 if anchored else 0.06)
    assert (another.guide_first, another.guide_lr_share) == wanted
    if run.flow.guides:
        net = "sums" if run.flow.guide_net == "unet" else "unet"
        settings = [f"flow.guide_net={net}", "flow.guide=[4,4,4,4]"]
        another = build_config(values, settings, task=task, start=model).optim
        assert another.guide_first == wanted[0]


def test_settings_reach_nested_fields_with_their_types():
    config = apply_settings(
        minimal(), ["optim.lr=1e-3", "flow.t_steps=3", "flip=false", "task.tau=1"]
    )
    assert config.optim.lr == 1e-3
    assert config.flow.t_steps == 3
    assert config.flip is False
    assert config.task.tau == 1.0
    assert isinstance(config.task.tau, float)


@pytest.mark.parametrize(("text", "value"), [(".52", 0.52), ("5.", 5.0), ("+2e-3", 2e-3)])
def test_a_number_may_be_written_as_in_python(text, value):
    assert apply_settings(minimal(), [f"optim.lr={text}"]).optim.lr == value


def test_what_looks_like_a_number_stays_text_where_a_field_is_text():
    assert apply_settings(minimal(), ["out=01.02", "data=.5"]).to_dict()["out"] == "01.02"
    assert apply_settings(minimal(), ["flow.t_steps=+3"]).flow.t_steps == 3
    with pytest.raises(CaflowError, match=r"flow.t_steps is 3\.0"):
        apply_settings(minimal(), ["flow.t_steps=3."])


@pytest.mark.parametrize(
    ("setting", "hint"),
    [
        ("optim.learning_rate=1", "optim."),
        ("flow.tsteps=3", "flow.t_steps"),
        ("flow.t_steps=3.5", "an integer, 0 or more"),
        ("optim.bf16=1", "true or false"),
        ("novalue", "--set"),
        ("flow.hidden=[48,64.5,96]", "set flow.hidden to an integer, 1 or more or a list"),
        ("flow.hidden=[48,64]", "one value, or 3, one per scale"),
        ("optim.lr.peak=1", "a number"),
        ("task.hole=central", "task.holes"),
        ("optim.schedule=step", "cosine or stable or paper"),
        ("optim.method=sgd", "muon or adam"),
        ("optim.decay_share=1.5", "from 0 to 1"),
        ("optim.accumulate=3", "divisor of the batch size 32"),
        ("tracker=comet", "tensorboard"),
        ("optims.lr=1", "optim"),
        ("flow.guide_net=resnet", "sums or unet"),
    ],
)
def test_unusable_settings_name_what_would_work(setting, hint):
    with pytest.raises(CaflowError) as caught:
        apply_settings(minimal(), [setting])
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("options", "task", "channels"),
    [
        ({}, "superres", 3),
        ({"task": "colorize"}, "colorize", 1),
        ({"task": "inpaint", "preset": "compact"}, "inpaint", 4),
        ({"preset": "lsun-colorize"}, "colorize", 1),
        ({"preset": "lsun-colorize", "task": "superres"}, "superres", 3),
        ({"preset": "celeba-inpaint"}, "inpaint", 3),  # hole black, as in the paper
        ({"task": "inpaint", "settings": ["flow.cond_channels=3"]}, "inpaint", 3),
    ],
)
def test_the_condition_has_the_channels_of_the_task(options, task, channels):
    config = build_config(minimal(), **options)
    assert config.task.name == task
    assert config.flow.cond_channels == channels


def test_a_preset_of_the_paper_brings_its_budget_unless_one_is_named():
    days = build_config(minimal_budget(), preset="lsun-colorize").optim.minutes
    assert days == 3 * 24 * 60
    optim = build_config(minimal(lr=1.0), ["optim.cond_weight=0.5"], preset="celeba-inpaint").optim
    assert (optim.images, optim.minutes) == (64, None)
    assert (optim.lr, optim.cond_weight, optim.schedule) == (1.0, 0.5, "paper")
    assert optim.method == "adam"


@pytest.mark.parametrize(("factor", "reads"), [(2, 2), (3, 2), (4, 4), (6, 4), (8, 8), (32, 16)])
def test_compact_enlarges_from_the_resolution_that_the_picture_had(factor, reads):
    run = build_config(minimal(), [f"task.factor={factor}", "task.size=192"])
    assert (run.flow.guide_net, run.flow.guide_factor) == ("enlarge", reads)


def test_a_guide_learns_how_pictures_look_where_a_net_for_that_is_at_hand(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("CAFLOW_LPIPS_VGG_WEIGHTS", raising=False)
    alone = build_config(minimal()).optim
    assert (alone.guide_loss, alone.guide_perceptual) == ("picture", 0.0)
    assert build_config(minimal(), ["optim.guide_lattice=2"]).optim.guide_lattice == 0.0
    assert build_config(minimal(), ["optim.guide_perceptual=1.5"]).optim.guide_perceptual == 1.5
    named = {**minimal(), "perceptual_weights": "trunk.safetensors"}
    assert build_config(named).optim.guide_perceptual == 2.0
    monkeypatch.setenv("CAFLOW_LPIPS_VGG_WEIGHTS", "trunk.safetensors")
    assert build_config(minimal()).optim.guide_perceptual == 2.0
    assert build_config(minimal(), ["optim.guide_lattice=2"]).optim.guide_lattice == 2.0
    monkeypatch.delenv("CAFLOW_LPIPS_VGG_WEIGHTS")
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    (cache / "vgg16-397923af.pth").touch()
    assert build_config(minimal()).optim.guide_perceptual == 2.0


def test_a_stable_run_from_another_ones_weights_warms_up_shortly():
    stable, first = ["optim.schedule=stable"], build_config(minimal())
    start = Config(first.flow, first.task)
    values = {**minimal(), "init_from": "model.safetensors"}
    assert build_config(values, stable, start=start).optim.warmup == 150
    assert build_config(values, [*stable, "optim.warmup=7"], start=start).optim.warmup == 7
    own = {**values, "optim": {"images": 64, "warmup": 8}}
    assert build_config(own, stable, start=start).optim.warmup == 8
    assert build_config(minimal(), stable).optim.warmup == 500
    assert build_config(values, start=start).optim.warmup == 500


def test_what_a_file_does_not_say_of_task_and_flow_is_the_starting_models():
    first = build_config(minimal(), ["task.size=32", "task.factor=2", "flow.t_steps=3"]).to_dict()
    first["task"] |= {"tau": (0.9, 0.7, 0.5), "rank": "consensus"}
    start = Config(parse(FlowConfig, first["flow"]), parse(TaskConfig, first["task"]))
    values = {**minimal(), "task": {"candidates": 7}, "flow": {"guide": 4}}
    run = build_config(values, start=start)
    assert run.task == replace(start.task, candidates=7)
    assert run.flow == replace(start.flow, guide=4)
    assert run.optim.guide_first == 0.35  # as of any new guide that says the mean
    changed = build_config(values, ["task.candidates=3", "flow.guide=8"], start=start)
    assert (changed.task.candidates, changed.flow.guide) == (3, 8)
    assert changed.task == replace(start.task, candidates=3)


def test_a_config_from_before_the_stable_schedule_is_read():
    values = build_config(minimal()).to_dict()
    del values["optim"]["decay_share"]
    assert build_config(values) == build_config(minimal())


TINY = ["flow.scales=1", "task.factor=4", "flow.hidden=8", "flow.trunk=0"]


def test_a_guide_of_small_pictures_learns_by_l1_alone(monkeypatch):
    """VGG16 halves a picture four times."""
    monkeypatch.setenv("CAFLOW_LPIPS_VGG_WEIGHTS", "trunk.safetensors")
    assert build_config(minimal(), ["task.size=8", *TINY]).optim.guide_perceptual == 0.0
    assert build_config(minimal(), ["task.size=16"]).optim.guide_perceptual == 2.0
