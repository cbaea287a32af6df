"""Metrics of ensembles of fields: sums over cells and areas, which add up over fields."""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ...ensembles import crps, rank_histogram
from ...fields.project import areas_of
from ...fields.scale import Linear
from ...images.profile import Array

Sums: TypeAlias = dict[str, list[float]]  # by metric: a sum, and the number of its terms

_AREA = 4  # coarse cells on each side of an area with a maximum
_HEAVY = 7.0  # thresholds of wet cells that a mean of such an area must exceed
_DRY = -5.0  # dB of dry cells, where fields are interpolated and transformed


@dataclass(frozen=True, eq=False)
class FieldContext:
    """What figures of a field need to know beside members and truth."""

    scale: Linear  # of the model's values
    means: Array  # (h, w), NaN where missing
    factor: int
    likely: Array  # bool (H, W): cells that the guide says are wet with probability 1/2 or more


def measure_field(members: Array, truth: Array, what: FieldContext) -> tuple[Sums, Array]:
    """Sums over cells and areas of a field, and the rank histogram of its cells.

    Args:
        members: (M, H, W) in the unit, with the means of the truth; NaN where missing.
        truth: (H, W).
        what: The field's means, and what the model says of them.
    """
    known = ~np.isnan(truth) & ~np.isnan(members[0])
    inside, true = members[:, known], truth[known]
    sums = {"crps": _sum(crps(inside, true))}
    ranks = rank_histogram(inside, true)
    m = len(members)
    likely = known & what.likely
    if m > 3 and likely.any():
        histogram = rank_histogram(members[:, likely], truth[likely])
        share = float(histogram[2 : m - 1].sum())  # of ranks within the 2nd to (M - 1)th
        sums["member_coverage"] = [share * int(likely.sum()), int(likely.sum())]
    if known.all():
        power = finest_octave(on_scale(what.scale, members)).mean()
        sums["octave"] = [float(power), float(finest_octave(on_scale(what.scale, truth)))]
    return sums | _of_maxima(members, truth, what), ranks


def _of_maxima(members: Array, truth: Array, what: FieldContext) -> Sums:
    """Sums over the areas with a high mean."""
    chosen = areas_of(what.means, _AREA).max(-1) > _HEAVY * (what.scale.known.zero or -math.inf)
    if not chosen.any():
        return {}
    side = _AREA * what.factor
    highest = areas_of(members, side).max(-1)[:, chosen]
    true = areas_of(truth, side).max(-1)[chosen]
    ranks = (highest < true).mean(0) + (highest == true).mean(0) / 2
    return {"maxima": _sum(ranks), "maxima_crps": _sum(crps(highest, true))}


def _sum(of: Array) -> list[float]:
    return [float(of.sum()), of.size]


def on_scale(scale: Linear, x: Array, cells: int = 1) -> Array:
    """g of values, or of means of so many cells, with that of dry ones for interpolation."""
    g = scale.levels(x, cells)
    return np.maximum(g, _DRY) if scale.has_dry else g


def finest_octave(g: Array) -> Array:
    """Power between 1/4 and 1/2 cycles a cell, under a Hann window: (..., H, W) to (...)."""
    height, width = g.shape[-2:]
    window = np.hanning(height)[:, None] * np.hanning(width)
    spectrum = np.abs(np.fft.fft2((g - g.mean((-2, -1), keepdims=True)) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    finest: Array = spectrum[..., (frequency >= 0.25) & (frequency < 0.5)].sum(-1)
    return finest
