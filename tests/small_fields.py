"""Small models of fields, fields of rain, and the file of a model."""

from pathlib import Path

import helpers
import numpy as np
import torch

from caflow_cli.config import Config, FlowConfig, TaskConfig, Values
from caflow_cli.fields import FieldEncoder, format_of_field, members_in_xarray
from caflow_cli.fields.project import repeated
from caflow_cli.images import Input, Output, Raster
from caflow_cli.images.values import Unit
from caflow_cli.layers import InvConv1x1
from caflow_cli.model import CAFlow

RAIN = Values("mm/h", "db", 0, 400, zero=0.1)


def flow_of(**flow) -> FlowConfig:
    sizes = {"scales": 1, "r_steps": 1, "t_steps": 2, "f_steps": 2, "hidden": 8, "f_hidden": 8}
    sizes |= {"target_channels": 1, "cond_channels": 2, "anchor": "field", "scale_bound": 1.0}
    sizes |= {"guide": 8, "guide_net": "censored", "guide_blocks": 2, "guide_factor": 4}
    return FlowConfig(**sizes | flow)


def config_of(values: Values = RAIN, **flow) -> Config:
    dry = values.zero is not None
    return Config(flow_of(dry=dry, **flow), TaskConfig(values=values, reduce="mean"))


def fresh(values: Values = RAIN, seed: int = 0, **flow) -> CAFlow:
    """A model with the identity as flow, and the bicubic field as the guide's location."""
    model = helpers.seeded(lambda: CAFlow(config_of(values, **flow)), seed)
    for part in model.modules():
        if isinstance(part, InvConv1x1):  # a permutation
            torch.nn.init.zeros_(part.lu)
            torch.nn.init.zeros_(part.log_diag)
    return model.eval()


def model_of(
    values: Values = RAIN, seed: int = 0, last: float = 0.2, affine: float = 0.1, **flow
) -> CAFlow:
    """A model with random weights, in float64."""
    model = helpers.seeded(lambda: CAFlow(config_of(values, **flow)), seed)
    return helpers.randomize(model, seed + 1, last, affine).double().eval()


def save_model(path: Path) -> Path:
    """Write a model to a file, and return its path."""
    model_of(last=0.1, affine=0.05).float().save(path)
    return path


def rain(h: int, w: int, seed: int = 0) -> np.ndarray:
    """A fine field of h×w areas of 4×4 cells with dry parts, float32."""
    rng = np.random.default_rng(seed)
    level = repeated(rng.normal(0, 8, (h, w)), 4) + rng.normal(0, 3, (4 * h, 4 * w))
    x = np.where(level < 0, 0, 0.1 * 10 ** (level.clip(0, 28) / 10)).astype(np.float32)
    return np.where(x >= np.float32(0.1), x, np.float32(0))


def field(values, unit="", step=0.0, step_in="linear"):
    """A measured field, whose data have steps."""
    values = np.asarray(values, np.float32)
    return Input(Raster(values[..., None], unit=Unit(unit, step, step_in)))


def outputs(members, coarse: Input) -> list[Output]:
    """What is written of fields, (M, H, W), that refine a coarse one."""
    return [coarse.output(values[..., None]) for values in members]


def write_members(path: Path, members, coarse: Input, seeds=None, provenance=None) -> None:
    """Write fields that refine a coarse one, as the result of a model."""
    seeds = list(seeds or range(len(members)))
    encoder = FieldEncoder(format_of_field(path), provenance is not None)
    records = [{**(provenance or {}), "seed": seed} for seed in seeds]
    first = coarse.image.size
    encoder.check(coarse, *(side * members.shape[1] // first[0] for side in first))
    path.write_bytes(*encoder.files(outputs(members, coarse), records))


def in_xarray(members, coarse: Input, seeds, provenance=None):
    """Fields that refine a coarse one, as an array of xarray."""
    return members_in_xarray(members, outputs(members, coarse)[0].image, seeds, provenance)
