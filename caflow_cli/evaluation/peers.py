"""What draws ensembles of fields: a model, and the peers that it must beat."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from ..config import Temperature, Values
from ..data.examples import Examples
from ..errors import CaflowError, ensure
from ..fields import Array, Field
from ..fields.project import areas_of, joined, means_of
from ..fields.scale import is_wet, to_unit
from ..model import CAFlow
from ..restoration import Coarse, values_of
from .metrics.fields import on_scale

# From a coarse field, a number of members and a seed to fields with its means, (M, H, W) float32.
Draw: TypeAlias = Callable[[Coarse, int, int], Array]

_FILTER = 0.9  # cells: of the noise of the peer that only has the guide
_MOST_BLOCKS = 300_000  # training areas whose residuals are resampled


def example(model: CAFlow, x: Array) -> tuple[Array, Coarse]:
    """A field without rain below the threshold, cropped to whole areas, and its means."""
    truth, means = _pair(values_of(model), model.config.task.factor, x)
    return truth, Coarse(model, Field(means))


def _pair(values: Values, factor: int, x: Array) -> tuple[Array, Array]:
    height, width = (side - side % factor for side in x.shape)
    truth = x[:height, :width]
    truth = np.where(is_wet(values, truth) | np.isnan(truth), truth, np.float32(0))
    return truth, means_of(truth, factor).astype(np.float32)


def of_model(tau: Temperature) -> Draw:
    def draw(coarse: Coarse, m: int, seed: int) -> Array:
        drawn = coarse.draw(tau, range(seed, seed + m))
        members = [x for x, _ in drawn if x is not None]
        ensure(len(members) == m, f"{m - len(members)} samples diverged", "a lower --tau")
        return np.stack(members)

    return draw


def bicubic(coarse: Coarse, m: int, seed: int) -> Array:
    """The bicubic field on the model's scale, as an ensemble of one."""
    smooth = _smooth(coarse.values, coarse.field.values, coarse.factor)
    return _of_scale(coarse, smooth[None])


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


def resampled(values: Values, factor: int, training: Examples) -> Draw:
    """Residuals of the bicubic field over whole areas, from anywhere in the training set."""
    blocks = [np.empty((0, factor**2), np.float32)]
    for index in range(len(training)):
        with suppress(CaflowError):
            truth, means = _pair(values, factor, training.read(index)[0])
            residual = areas_of(on_scale(values, truth) - _smooth(values, means, factor), factor)
            whole = np.isfinite(residual).all(-1)
            blocks.append(residual[whole & is_wet(values, means, factor**2)].astype(np.float32))
    found = np.concatenate(blocks)
    ensure(len(found) > 0, "no training field has residuals", "give wet fields in train/, or none")
    found = found[np.random.default_rng(0).permutation(len(found))[:_MOST_BLOCKS]]

    def draw(coarse: Coarse, m: int, seed: int) -> Array:
        height, width = coarse.field.size
        at = np.random.default_rng(seed).integers(0, len(found), (m, height, width))
        smooth = _smooth(coarse.values, coarse.field.values, factor)
        return _of_scale(coarse, smooth + joined(found[at], factor))

    return draw


def _smooth(values: Values, means: Array, factor: int) -> Array:
    """The bicubic field on the model's scale: (H, W); NaN around missing values."""
    small = torch.from_numpy(on_scale(values, means, factor**2))[None, None]
    fine: Array = F.interpolate(small, scale_factor=float(factor), mode="bicubic")[0, 0].numpy()
    return fine


def _of_scale(coarse: Coarse, g: Array) -> Array:
    """Fields in the unit, with exact means, of g: (M, H, W)."""
    values = coarse.values
    if values.zero is not None:  # below the threshold, in the order of nearness to it
        g = np.where(g < 0, np.expm1(g / 10), g)
    return coarse.projected(to_unit(values, np.nan_to_num(g, nan=-0.5)))
