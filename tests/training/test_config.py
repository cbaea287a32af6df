"""The config of a run: what it refuses, and its file."""

from __future__ import annotations

import re

import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.training.config import RunConfig, to_toml
from caflow_cli.training.settings import apply_settings


def minimal(**optim):
    return {"data": "d", "out": "o", "optim": {"images": 64, **optim}}


def test_only_a_guide_can_learn_alone_first():
    assert apply_settings(minimal(), ["optim.guide_first=0.5", "flow.guide=8"]).optim.guide_first
    with pytest.raises(CaflowError, match=r"optim.guide_first is 0.5") as caught:
        apply_settings(minimal(), ["optim.guide_first=0.5", "flow.guide=0"])
    assert "give the model a guide" in caught.value.hint
    never = ["optim.guide_lr_share=0", "flow.guide=8"]
    with pytest.raises(CaflowError, match=r"optim.guide_lr_share is 0") as caught:
        apply_settings(minimal(), never)
    assert "would never learn" in caught.value.hint
    apply_settings(minimal(), [*never, "optim.guide_first=0.1"])
    apply_settings(minimal(), [*never, "init_from=model.safetensors"])


@pytest.mark.parametrize("optim", [{"images": None}, {"minutes": 1.0}, {"images": -3}])
def test_exactly_one_positive_budget(optim):
    with pytest.raises(CaflowError) as caught:
        apply_settings(minimal(**optim), [])
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "setting",
    [
        "optim.minutes=NaN",
        "optim.lr=NaN",
        "optim.ema=1.0",
        "optim.guide_first=1.0",
        "optim.guide_lr_share=-1",
        "optim.guide_first=-0.1",
        "optim.guide_first_lr=0",
        "samples.share=1.5",
        "samples.lr=0",
        "samples.weight=0",
        "samples.perceptual=-1",
        "samples.lattice=-1",
        "optim.guide_lattice=-1",
        "optim.warmup=-1",
        "seed=-1",
        "validate_every=0",
        "zoom=1",
        "zoom=-0.1",
        "crop=some",
        "crop_native=1.1",
        "crop_shrink=0.5",
        "mask_share=0",
        "grid_every=0",
        "task.size=28",
        "task.size=40",
        "flow.target_channels=1",
        "flow.cond_channels=4",
        "task.name=paint",
        "task.degrade=old",
    ],
)
def test_what_cannot_run_is_refused_before_it_does(setting):
    values = minimal()
    if "minutes" in setting:
        del values["optim"]["images"]
    with pytest.raises(CaflowError) as caught:
        apply_settings(values, [setting])
    assert caught.value.exit_code == 2


_TAUGHT = ["optim.guide_first=0.3", "optim.guide_loss=picture"]
_LATTICE = "optim.guide_lattice=1"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (["crop=random", "zoom=0.2"], "zoom"),
        (["crop=random", "task.name=paired"], "task.native"),
        (["task.native=true", "task.name=paired"], "task.native"),
        (["task.native=true"], "task.native"),
        (["masks=folder"], "masks"),
        (["flow.guide=8", "optim.guide_first=0.5", "samples.share=0.6"], "samples.share"),
        ([*_TAUGHT, "task.size=16", _LATTICE], "optim.guide_lattice"),
        ([*_TAUGHT, "optim.guide_perceptual=0", _LATTICE], "optim.guide_lattice"),
        ([*_TAUGHT, "optim.guide_loss=likelihood", _LATTICE], "optim.guide_lattice"),
        ([*_TAUGHT, "optim.guide_first=0", _LATTICE], "optim.guide_lattice"),
        (["task.size=16", "samples.lattice=1"], "samples.lattice"),
        (["task.degrade=photo", "task.name=inpaint", "flow.cond_channels=4"], "task.degrade"),
    ],
)
def test_what_does_not_fit_the_task_or_each_other_is_refused(settings, named):
    with pytest.raises(CaflowError, match=f"^{named} is ") as caught:
        apply_settings(minimal(), settings)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        (["crop=random"], "set task.native to true, "),
        (["task.native=true"], "set task.native to false, .* with --crop random$"),
    ],
)
def test_parts_of_pairs_and_a_native_task_go_together(settings, wanted):
    with pytest.raises(CaflowError) as caught:
        apply_settings(minimal(), ["task.name=paired", *settings])
    assert re.match(wanted, caught.value.hint)
    apply_settings(minimal(), ["task.name=paired", "crop=random", "task.native=true"])


@pytest.mark.parametrize("data", ['a "quoted" ünïcode path', "\N{CAMERA}/a", "\x7f\t\\"])
def test_the_config_file_reads_back(data):
    tomllib = pytest.importorskip("tomllib")
    config = apply_settings(minimal(), [f"data={data}", "task.tau=0.7"])
    assert apply_settings(tomllib.loads(to_toml(config)), []) == config
    assert isinstance(config, RunConfig)
    assert config.data == data


def test_a_shape_of_temperatures_and_a_rule_read_back():
    tomllib = pytest.importorskip("tomllib")
    config = apply_settings(minimal(), ["task.tau=[0.9, 0.7, 0.5]", "task.rank=consensus"])
    assert (config.task.tau, config.task.rank) == ((0.9, 0.7, 0.5), "consensus")
    assert apply_settings(tomllib.loads(to_toml(config)), []) == config
    with pytest.raises(CaflowError, match="has 2 values"):
        apply_settings(minimal(), ["task.tau=[0.9, 0.7]"])


def test_a_config_file_of_names_in_bytes():
    in_bytes = "фото".encode().decode("ascii", "surrogateescape")  # as under LANG=C
    assert 'data = "фото"' in to_toml(apply_settings(minimal(), [f"data={in_bytes}"]))
    with pytest.raises(CaflowError, match="not UTF-8") as caught:
        to_toml(apply_settings(minimal(), ["data=\udce9"]))
    assert caught.value.exit_code == 2


def test_a_list_of_widths_survives_the_config_file():
    tomllib = pytest.importorskip("tomllib")
    config = apply_settings(minimal(), ["flow.hidden=[48,64,96]"])
    assert config.flow.hidden == (48, 64, 96)
    assert apply_settings(tomllib.loads(to_toml(config)), []) == config
