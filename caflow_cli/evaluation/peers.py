"""What draws ensembles of fields: a model, and the peers that it must beat."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter

from ..errors import ensure
from ..fields.scale import Linear
from ..flows import FieldCondition
from ..images.profile import Array
from ..restoration import Candidates, Conditions, Request, Whole, draw
from .metrics.fields import on_scale

# From a request and its conditions to M fields with its means, (M, H, W) float32.
Draw: TypeAlias = Callable[[Request, Conditions], Array]

_FILTER = 0.9  # cells: of the noise of the peer that only has the guide


def of_model(request: Request, conditions: Conditions) -> Array:
    *_, [found] = draw([Candidates(request.unscored)], conditions)
    lost = sum(bool(candidate.predicted) for candidate in found.drawn)
    ensure(not lost, f"{lost} samples diverged", "a lower --tau")
    return found.values


def bicubic(request: Request, conditions: Conditions) -> Array:
    """The bicubic field on the model's scale, as an ensemble of one."""
    scale, means = _scale_of(request), request.image[..., 0]
    small = torch.from_numpy(on_scale(scale, means, request.task.factor**2))[None, None]
    smooth = F.interpolate(small, scale_factor=float(request.task.factor), mode="bicubic")
    return _of_scale(request, smooth[0].numpy())


def filtered(request: Request, conditions: Conditions, cells: float = _FILTER) -> Array:
    """Cells with the guide's distributions, and Gaussian noise that is filtered alike."""
    noise = noise_of(request, cells)
    marginals = _condition_of(conditions).marginals
    g = marginals.back(torch.from_numpy(noise)[:, None].to(marginals.location))[:, 0]
    return _of_scale(request, g.cpu().double().numpy())


def noise_of(request: Request, cells: float) -> Array:
    """Normal noise of the members of a request, filtered over so many cells: (M, H, W)."""
    rng = np.random.default_rng(request.sampling.seed)
    noise = rng.standard_normal((request.sampling.candidates or 1, *request.size))
    smooth: Array = gaussian_filter(noise, (0, cells, cells))
    smooth /= np.sqrt(_power_of_filter(cells))
    return smooth


def wet_probability(request: Request, conditions: Conditions) -> Array:
    """P(wet) of every cell according to the guide, (H, W)."""
    height, width = (request.task.factor * side for side in request.image.shape[:2])
    if not _scale_of(request).has_dry:
        return np.ones((height, width))
    marginals = _condition_of(conditions).marginals
    bound, _ = marginals.of(torch.zeros_like(marginals.location))
    wet: Array = torch.special.ndtr(-bound.double())[0, 0, :height, :width].cpu().numpy()
    return wet


def _power_of_filter(cells: float) -> float:
    impulse = np.zeros((33, 33))
    impulse[16, 16] = 1
    return float((gaussian_filter(impulse, cells) ** 2).sum())


def _scale_of(request: Request) -> Linear:
    assert isinstance(request.scale, Linear), "of a model of fields"
    return request.scale


def _condition_of(conditions: Conditions) -> FieldCondition:
    assert isinstance(conditions, Whole)
    assert isinstance(conditions.encoded.anchor, FieldCondition)
    return conditions.encoded.anchor


def _of_scale(request: Request, g: Array) -> Array:
    """Fields in the unit, with exact means, of g: (M, H, W)."""
    scale = _scale_of(request)
    if scale.has_dry:  # below the threshold, in the order of nearness to it
        g = np.where(g < 0, np.expm1(g / 10), g)
    values = scale.values(np.nan_to_num(g, nan=-0.5))[..., None]
    return np.stack([request.parts[0].compose(request.image, x) for x in values])[..., 0]
