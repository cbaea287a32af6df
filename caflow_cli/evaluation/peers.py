"""What draws ensembles of fields: a model, and the peers that it must beat."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from ..config import Temperature
from ..errors import ensure
from ..fields import Array, Field
from ..fields.project import means_of
from ..fields.scale import is_wet, to_unit
from ..model import CAFlow
from ..restoration import Coarse, values_of
from .metrics.fields import on_scale

# From a coarse field, a number of members and a seed to fields with its means, (M, H, W) float32.
Draw: TypeAlias = Callable[[Coarse, int, int], Array]

_FILTER = 0.9  # cells: of the noise of the peer that only has the guide


def example(model: CAFlow, x: Array) -> tuple[Array, Coarse]:
    """A field without rain below the threshold, cropped to whole areas, and its means."""
    factor = model.config.task.factor
    ensure(
        min(x.shape) >= factor,
        f"a field of {x.shape[1]}×{x.shape[0]} cells has no area of {factor}×{factor}",
        "remove it",
    )
    height, width = (side - side % factor for side in x.shape)
    truth = x[:height, :width]
    truth = np.where(is_wet(values_of(model), truth) | np.isnan(truth), truth, np.float32(0))
    return truth, Coarse(model, Field(means_of(truth, factor).astype(np.float32)))


def of_model(tau: Temperature) -> Draw:
    def draw(coarse: Coarse, m: int, seed: int) -> Array:
        drawn = list(coarse.draw(tau, range(seed, seed + m)))
        lost = sum(bool(sample.predicted) for _, sample in drawn)
        ensure(not lost, f"{lost} samples diverged", "a lower --tau")
        return np.stack([x for x, _ in drawn])

    return draw


def bicubic(coarse: Coarse, m: int, seed: int) -> Array:
    """The bicubic field on the model's scale, as an ensemble of one."""
    means = on_scale(coarse.values, coarse.field.values, coarse.factor**2)
    scaled = F.interpolate(
        torch.from_numpy(means)[None, None], scale_factor=float(coarse.factor), mode="bicubic"
    )
    return _of_scale(coarse, scaled[0].numpy())


def filtered(coarse: Coarse, m: int, seed: int) -> Array:
    """Cells with the guide's distributions, and Gaussian noise that is filtered alike."""
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.standard_normal((m, *coarse.padded)), (0, _FILTER, _FILTER))
    noise /= np.sqrt(_power_of_filter())
    marginals = coarse.whole.encoded.anchor.marginals  # type: ignore[union-attr]
    g = marginals.back(torch.from_numpy(noise)[:, None].to(marginals.location))[:, 0]
    height, width = coarse.size
    return _of_scale(coarse, g[:, :height, :width].cpu().double().numpy())


def _power_of_filter() -> float:
    impulse = np.zeros((33, 33))
    impulse[16, 16] = 1
    return float((gaussian_filter(impulse, _FILTER) ** 2).sum())


def _of_scale(coarse: Coarse, g: Array) -> Array:
    """Fields in the unit, with exact means, of g: (M, H, W)."""
    values = coarse.values
    if values.zero is not None:  # below the threshold, in the order of nearness to it
        g = np.where(g < 0, np.expm1(g / 10), g)
    return coarse.projected(to_unit(values, np.nan_to_num(g, nan=-0.5)))
