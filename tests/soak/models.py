"""Any model: configs, sizes and weights, small."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from hypothesis import strategies as st

from caflow_cli.config import Config, FlowConfig, TaskConfig
from caflow_cli.model import CAFlow
from caflow_cli.tasks import TASKS

from .. import helpers

CHANNELS = st.integers(1, 4)
SEEDS = st.integers(0, 2**31)


@st.composite
def flow_configs(draw, most_scales: int = 3, **fixed) -> FlowConfig:
    """Every field of the architecture at random; `fixed` ones are given."""
    scales = draw(st.integers(1, most_scales))
    width = st.integers(1, 6)
    widths = st.lists(width, min_size=scales, max_size=scales).map(tuple)
    fields = {
        "scales": scales,
        "target_channels": draw(CHANNELS),
        "cond_channels": draw(CHANNELS),
        "r_steps": draw(st.integers(0, 2)),
        "t_steps": draw(st.integers(0, 3)),
        "f_steps": draw(st.integers(1, 2)),
        "hidden": draw(width | widths),
        "f_hidden": draw(width),
        "trunk": draw(st.integers(0, 4)),
        "conditional": draw(st.sampled_from(["caflow", "shared", "dual-glow"])),
        "dequantization": draw(st.sampled_from(["uniform", "variational"])),
        "scale_bound": draw(st.floats(0.5, 3)),
    }
    wide = st.integers(2, 6)  # a norm over one value, of one pixel, is refused
    guides = st.lists(wide, min_size=scales + 1, max_size=scales + 1).map(tuple)
    fields["guide"] = draw(st.just(0) | wide | guides)
    fields |= fixed
    if fields["guide"]:
        fields.setdefault("guide_net", "unet")
    if fields["target_channels"] == 3 and fields["cond_channels"] in (1, 4) and draw(st.booleans()):
        fields["anchor"] = {1: "luminance", 4: draw(st.sampled_from(["pixels", "fill"]))}[
            fields["cond_channels"]
        ]
    return FlowConfig(**fields)


@dataclass(frozen=True)
class Example:
    """A model in float64 and a batch for it."""

    model: CAFlow
    target: torch.Tensor  # uint8
    cond: torch.Tensor  # uint8


@st.composite
def examples_of_models(draw, most_scales: int = 3, most_values: int = 4096) -> Example:
    """A model with weights like those of a trained one, or more extreme, and rectangular images of
    at most `most_values` values each."""
    flow = draw(flow_configs(most_scales))
    least = flow.target_channels * flow.multiple**2
    if least > most_values:  # fewer channels: the smallest image there is
        flow = FlowConfig(**{**vars(flow), "target_channels": 1, "anchor": "none"})
        least = flow.multiple**2
    room = max(1, most_values // least)
    rows = draw(st.integers(1, min(room, 3)))
    columns = draw(st.integers(1, min(room // rows, 3)))
    size = (rows * flow.multiple, columns * flow.multiple)
    seed = draw(SEEDS)
    last, affine = draw(st.sampled_from([(0.0, 0.0), (0.1, 0.02), (0.5, 0.1)]))
    config = Config(flow, TaskConfig("paired", size=max(4, *size)))
    model = helpers.data_like_model(config, seed, size, 4, last, affine).double()
    target, cond = helpers.image_pair(model, 3, size, seed + 1)
    return Example(model.eval(), target, cond)


@st.composite
def task_models(draw) -> CAFlow:
    """A model of a task, with the condition that the task asks for."""
    name = draw(st.sampled_from(sorted(TASKS)))
    flow = draw(
        flow_configs(
            2, target_channels=3, cond_channels=draw(st.sampled_from(TASKS[name].channels))
        )
    )
    factor = draw(st.integers(2, 4)) if name == "superres" else 4
    config = Config(flow, TaskConfig(name, factor=factor, size=16))
    return helpers.data_like_model(config, draw(SEEDS), 16).double().eval()
