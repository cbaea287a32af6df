"""Configs are parsed strictly: a typing error never trains another model than was asked for."""

import itertools
import json
import re

import pytest

from caflow_cli.config import PRESETS, Config, FlowConfig, TaskConfig
from caflow_cli.errors import CaflowError
from caflow_cli.records import parse
from caflow_cli.tasks import check_task, preset


def test_a_config_survives_json():
    config = Config(
        FlowConfig(scales=2, cond_channels=4, scale_bound=0.1), TaskConfig("inpaint", tau=0.5)
    )
    assert parse(Config, json.loads(json.dumps(config.to_dict()))) == config
    assert parse(Config, {}) == Config()
    assert parse(Config, {"flow": {"scales": 2}}) == Config(FlowConfig(scales=2))


@pytest.mark.parametrize(
    ("task", "named"),
    [
        ({"name": "inpaint", "rim": 65}, "rim is 65"),
        ({"name": "inpaint", "window": 32}, "window is 32"),
        ({"name": "inpaint", "window": 1025}, "window is 1025"),
        ({"name": "inpaint", "degrade": "photo"}, "degrade is 'photo'"),
        ({"native": True}, "native is True"),
        ({"name": "upscale"}, "task.name is 'upscale'"),
    ],
)
def test_a_task_is_of_one_piece(task, named):
    with pytest.raises(CaflowError, match=named):
        check_task(parse(Config, {"task": task}).task)


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
        {"coupling_bound": (1.0, 0.0, 1.0)},
        {"shift_bound": (1.0, 2.0)},
        {"conditional": "other"},
        {"dequantization": "other"},
        {"anchor": "other"},
        {"anchor": "pixels"},
        {"anchor": "fill"},
        {"anchor": "luminance", "cond_channels": 1, "target_channels": 1},
        {"guide": -1, "guide_net": "unet"},
        {"guide": (4, 4, 4), "guide_net": "unet"},
        {"guide": (4, 4, 4, 0), "guide_net": "unet"},
        {"guide_net": "other"},
        {"guide_net": "none", "guide": 8},
        {"guide_views": 3, "guide": 8, "guide_net": "unet"},
        {"guide_views": 8},
        {"spread": 8},
        {"guide_factor": 1, "guide": 8, "guide_net": "enlarge"},
        {"guide_factor": 3, "guide": 8, "guide_net": "enlarge"},
        {"guide_factor": 8, "guide": (8, 8, 8), "guide_net": "enlarge"},
        {"guide": (8, 8), "guide_net": "enlarge"},
        {"anchor": "none", "guide": 8, "guide_net": "compact"},
    ],
)
def test_values_without_a_meaning_are_refused(values):
    with pytest.raises(CaflowError) as caught:
        parse(Config, {"flow": values})
    assert next(iter(values)) in caught.value.message
    assert caught.value.exit_code == 2


_COMBINED = (
    r"set flow\.anchor to (?P<anchor>\w+)[\w ]*, with guide_net (?P<guide_net>\w+), (.*)",
    r"(?P<anchor>\w+) needs guide_net (?P<guide_net>\w+), (.*)",
    r"set flow\.guide_net to (?P<guide_net>\w+), with (.*)",
    r"(?P<guide_net>\w+) needs anchor (?P<anchor>\w+), (.*)",
)


def test_an_anchor_that_does_not_fit_is_refused_with_combinations_that_work():
    anchors = ("none", "pixels", "fill", "luminance", "enlarged", "field")
    guides = ("none", "unet", "compact", "enlarge", "censored")
    channels = ((3, 3), (4, 3), (1, 3), (1, 1))
    ways = []
    for anchor, guide_net, sizes in itertools.product(anchors, guides, channels):
        table = {"anchor": anchor, "guide_net": guide_net, "guide": 8}
        try:
            parse(Config, {"flow": of_combination(sizes, **table)})
        except CaflowError as error:
            ways += [(table, way) for way in error.hint.split("; ")]
    assert len(ways) > 100
    for table, way in ways:
        (found,) = filter(None, (re.fullmatch(pattern, way) for pattern in _COMBINED))
        sizes = re.fullmatch(r"cond_channels (\d), target_channels (\d)", found[found.re.groups])
        wanted = {"anchor": "none", **found.groupdict()}
        parse(Config, {"flow": of_combination(map(int, sizes.groups()), **{**table, **wanted})})


def of_combination(channels, **flow):
    cond, target = channels
    flow["guide"] *= flow["guide_net"] != "none"
    return {**flow, "cond_channels": cond, "target_channels": target}


def test_a_guide_that_reads_the_small_image_has_the_factor_of_the_task():
    flow = {"anchor": "enlarged", "guide": 8, "guide_net": "compact", "guide_factor": 2}
    assert parse(Config, {"flow": flow, "task": {"factor": 2}}).flow.guide_factor == 2
    with pytest.raises(CaflowError, match="guide_factor is 2") as caught:
        parse(Config, {"flow": flow, "task": {"factor": 4}})
    assert caught.value.exit_code == 2


RAIN = {"unit": "mm/h", "transform": "db", "low": 0, "high": 150, "zero": 0.1}
KELVIN = {"unit": "K", "transform": "linear", "low": 220, "high": 320}


def of_fields(values, reduce="mean", **flow):
    fields = {"target_channels": 1, "cond_channels": 2, "anchor": "field", "guide": 8}
    flow = {**fields, "guide_net": "censored", **flow}
    return {"flow": flow, "task": {"values": values, "reduce": reduce}}


def test_the_values_of_fields_survive_json():
    for values, dry in ((RAIN, True), (KELVIN, False)):
        config = parse(Config, of_fields(values, dry=dry))
        assert config.task.values.high == values["high"]
        assert parse(Config, json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("tables", "named"),
    [
        (of_fields({**RAIN, "zero": None}), "values.zero is None"),
        (of_fields({**RAIN, "zero": -1}), "values.zero is -1"),
        (of_fields({**RAIN, "low": -1}), "values.low is -1"),
        (of_fields({**RAIN, "high": 0.1}), "values.high is 0.1"),
        (of_fields({**RAIN, "high": float("nan")}), "values.high is nan"),
        (of_fields({**RAIN, "unit": ""}), "values.unit is ''"),
        (of_fields({**KELVIN, "zero": 1}, dry=False), "values.zero is 1"),
        (of_fields({**KELVIN, "high": 220}, dry=False), "values.high is 220"),
        (of_fields(KELVIN), "flow.dry is True"),
        (of_fields(RAIN, dry=False), "flow.dry is False"),
        (of_fields(RAIN, reduce=None), "task.reduce is None"),
        (of_fields(None), "task.reduce is mean"),
        ({"task": {"values": RAIN, "reduce": "mean"}}, "flow.anchor is 'none'"),
        (of_fields(RAIN, guide_factor=2), "flow.guide_factor is 2"),
    ],
)
def test_a_model_of_fields_is_of_one_piece(tables, named):
    with pytest.raises(CaflowError, match=named) as caught:
        parse(Config, tables)
    assert caught.value.exit_code == 2


def test_presets():
    assert preset("compact", "paired") == PRESETS["compact"]
    with pytest.raises(CaflowError, match="'compacct'") as caught:
        preset("compacct")
    assert "compact or field or ffhq-" in caught.value.hint
    assert caught.value.exit_code == 2
