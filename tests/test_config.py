"""Configs are parsed strictly: a typing error never trains another model than was asked for."""

import dataclasses
import json

import pytest

from caflow_cli.config import PRESETS, Config, FlowConfig, TaskConfig, preset
from caflow_cli.errors import CaflowError
from caflow_cli.model import CAFlow
from caflow_cli.records import parse


def test_a_config_survives_json():
    config = Config(
        FlowConfig(scales=2, cond_channels=4, scale_bound=0.1), TaskConfig("inpaint", tau=0.5)
    )
    assert parse(Config, json.loads(json.dumps(config.to_dict()))) == config
    assert parse(Config, {}) == Config()
    assert parse(Config, {"flow": {"scales": 2}}) == Config(FlowConfig(scales=2))


def test_configs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().flow.scales = 4


@pytest.mark.parametrize(
    ("values", "key", "near"),
    [
        ({"flow": {"scale": 3}}, "flow.scale", "flow.scales"),
        ({"flow": {"f_step": 3}}, "flow.f_step", "flow.f_steps"),
        ({"task": {"taus": 1.0}}, "task.taus", "task.tau"),
        ({"flows": {}}, "flows", "flow"),
    ],
)
def test_an_unknown_key_names_the_nearest(values, key, near):
    with pytest.raises(CaflowError) as caught:
        parse(Config, values)
    assert repr(key) in caught.value.message
    assert repr(near) in caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"flow": {"scales": "3"}}, "flow.scales"),
        ({"flow": {"scales": 3.0}}, "flow.scales"),
        ({"flow": {"scales": True}}, "flow.scales"),
        ({"flow": {"scales": None}}, "flow.scales"),
        ({"flow": {"scale_bound": "0.05"}}, "flow.scale_bound"),
        ({"flow": {"scale_bound": True}}, "flow.scale_bound"),
        ({"task": {"name": 3}}, "task.name"),
        ({"task": {"candidates": 1.5}}, "task.candidates"),
        ({"task": {"tau": True}}, "task.tau"),
        ({"flow": 3}, "flow"),
        ([], "config"),
        (None, "config"),
    ],
)
def test_a_wrong_type_is_refused(values, key):
    with pytest.raises(CaflowError) as caught:
        parse(Config, values)
    assert key in caught.value.message


@pytest.mark.parametrize("rim", [-1, 65])
def test_a_rim_is_at_most_as_wide_as_the_model_sees(rim):
    with pytest.raises(CaflowError, match=f"rim is {rim}"):
        parse(Config, {"task": {"name": "inpaint", "rim": rim}})


@pytest.mark.parametrize(
    ("flow", "hint"),
    [
        ({"guide": 8, "guide_views": 3}, "set flow.guide_views to 1 or 2 or 4 or 8"),
        ({"guide": 8, "guide_views": 0}, "set flow.guide_views to 1 or 2 or 4 or 8"),
        ({"guide_views": 8}, "set flow.guide_views to 1, or give the model a guide"),
    ],
)
def test_views_are_of_a_guide(flow, hint):
    with pytest.raises(CaflowError, match="guide_views is") as caught:
        parse(Config, {"flow": flow})
    assert caught.value.hint == hint
    assert parse(Config, {"flow": {"guide": 8, "guide_views": 8}}).flow.guide_views == 8


@pytest.mark.parametrize("window", [-1, 32, 1025])
def test_a_window_is_no_smaller_than_what_was_learned(window):
    with pytest.raises(CaflowError, match=f"window is {window}"):
        parse(Config, {"task": {"name": "inpaint", "window": window}})


def test_an_int_is_a_float_and_none_is_optional():
    flow = parse(Config, {"flow": {"scale_bound": 3}, "task": {"tau": 1, "candidates": None}})
    assert flow.flow.scale_bound == 3.0
    assert isinstance(flow.flow.scale_bound, float)
    assert isinstance(flow.task.tau, float)
    assert flow.task.candidates is None


@pytest.mark.parametrize(
    "values",
    [
        {"scales": 0},
        {"target_channels": 0},
        {"cond_channels": 0},
        {"hidden": 0},
        {"trunk": -1},
        {"trunk": (4, 4)},
        {"trunk": (4, 4, -1)},
        {"trunk_blocks": -1},
        {"f_hidden": 0},
        {"f_steps": 0},
        {"r_steps": -1},
        {"scale_bound": 0.0},
        {"conditional": "other"},
        {"dequantization": "other"},
        {"anchor": "other"},
        {"anchor": "pixels"},
        {"anchor": "fill"},
        {"anchor": "luminance", "cond_channels": 1, "target_channels": 1},
        {"guide": -1},
        {"guide": (4, 4, 4)},
        {"guide": (4, 4, 4, 0)},
    ],
)
def test_values_without_a_meaning_are_refused(values):
    with pytest.raises(CaflowError) as caught:
        parse(Config, {"flow": values})
    assert next(iter(values)) in caught.value.message
    assert caught.value.exit_code == 2


def test_flows_without_steps_are_models():
    CAFlow(Config(FlowConfig(scales=1, r_steps=0, t_steps=0, f_steps=1)))


@pytest.mark.parametrize(("scales", "multiple"), [(1, 4), (2, 8), (3, 16), (4, 32)])
def test_multiple(scales, multiple):
    assert FlowConfig(scales=scales).multiple == multiple


def test_presets():
    assert preset("compact", "paired") == PRESETS["compact"]
    with pytest.raises(CaflowError) as caught:
        preset("compacct")
    assert "compact" in caught.value.hint
    assert caught.value.exit_code == 2


def test_the_paper_presets_have_the_paper_depths():
    depths = {name: (f.r_steps, f.t_steps, f.f_steps) for name, f in PRESETS.items()}
    assert depths["ffhq-superres-x4"] == (16, 32, 12)
    assert depths["lsun-colorize"] == (24, 24, 12)
    assert depths["celeba-inpaint"] == (30, 30, 16)
    for name in depths.keys() - {"compact"}:
        assert (PRESETS[name].scales, PRESETS[name].hidden, PRESETS[name].f_hidden) == (3, 64, 32)
    assert PRESETS["ffhq-superres-x4"].dequantization == "variational"


def test_an_unknown_preset_names_the_nearest():
    with pytest.raises(CaflowError, match="'compat'") as caught:
        preset("compat")
    assert caught.value.hint.startswith("--preset compact; there are also ffhq-")
