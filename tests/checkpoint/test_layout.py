"""The layout of a config is that of the model it builds."""

from __future__ import annotations

import itertools

import helpers
import pytest

from caflow_cli.checkpoint.layout import layout
from caflow_cli.config import PRESETS, Config
from caflow_cli.model import CAFlow

VARIANTS = [
    {
        "scales": scales,
        "conditional": conditional,
        "dequantization": dequantization,
        "trunk": tuple(range(trunk, trunk + scales)) if trunk else 0,
        "trunk_blocks": 1 + trunk // 4,
        "cond_channels": cond_channels,
        "hidden": tuple(range(3, 3 + scales)),
        "r_steps": cond_channels - 1,
    }
    for scales, conditional, (dequantization, trunk, cond_channels) in itertools.product(
        (1, 2, 4),
        ("caflow", "shared", "dual-glow"),
        (("uniform", 0, 1), ("variational", 5, 3)),
    )
]
CONFIGS = [
    *[helpers.small_config(**{"t_steps": 1, **flow}) for flow in VARIANTS],
    helpers.small_config(scales=2, guide=(3, 4, 5), cond_channels=4, anchor="pixels"),
    helpers.small_config(cond_channels=4, anchor="fill", guide=3, guide_says="mean", spread=5),
    helpers.small_config(guide=3, guide_net="unet", conditional="shared"),
    helpers.small_config(guide=5, guide_net="enlarge", guide_blocks=2, guide_factor=8),
    helpers.small_config(guide=1, guide_net="enlarge", guide_says="mean", anchor="enlarged"),
    helpers.small_config(
        guide=(3, 4, 5, 6), guide_says="mean", anchor="luminance", cond_channels=1, spread=7
    ),
    *[Config(flow=flow) for name, flow in PRESETS.items() if name == "compact"],
]


@pytest.mark.parametrize("config", CONFIGS)
def test_layout(config):
    state = CAFlow(config).state_dict()
    listed = list(layout(config))
    assert len(listed) == len(state)
    assert dict(listed) == {name: tuple(tensor.shape) for name, tensor in state.items()}
