"""A small random model of rain, and the description of its file."""

from pathlib import Path

import helpers

from caflow_cli.config import Config, FlowConfig, TaskConfig, Values
from caflow_cli.model import CAFlow

FLOW = {"scales": 1, "r_steps": 1, "t_steps": 2, "f_steps": 2, "hidden": 8, "f_hidden": 8}
FLOW |= {"target_channels": 1, "cond_channels": 1, "anchor": "field", "scale_bound": 1.0}
FLOW |= {"guide": 8, "guide_net": "censored", "guide_blocks": 2, "guide_factor": 4}
RAIN = Values("mm/h", "db", 0, 400, zero=0.1)


def save_model(path: Path) -> Path:
    """Write the model to a file, and return its path."""
    config = Config(FlowConfig(**FLOW), TaskConfig(values=RAIN, reduce="mean"))
    made = helpers.seeded(lambda: CAFlow(config), 0)
    helpers.randomize(made, 1, last=0.1, affine=0.05).eval().save(path)
    return path
