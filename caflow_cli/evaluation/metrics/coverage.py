"""Density and coverage of a set of pictures (Naeem et al. 2020), from kept features.

    B_j = { f : |f - f_j| <= r_j },  r_j the distance of truth j to its k-th nearest other truth

    coverage = 1/N  Σ_j  [ a generated f_i lies in B_j ]
    density  = 1/(k M)  Σ_i Σ_j  [ f_i lies in B_j ]

f are features of an extractor, f_j those of N truths, f_i those of M generated pictures. k is 5, or
N - 1 where there are fewer than six truths. Coverage is within 0 and 1, density from 0 up. If both
sets have one distribution, then on average density is 1, and coverage is

    1 - Π_{s=1..k} (N - s) / (N + M - s)

which is 0.97 for large sets of equal size, and above 0.999 if M is five times N.

Both compare sets as wholes, whatever condition a picture was drawn for. `own_coverage` is for draws
of conditions: it asks whether a truth's ball holds a draw of that truth's own condition.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .set_features import SetFeatures

__all__ = ["coverage", "own_coverage"]

_NEIGHBOURS = 5
_ROWS = 500  # of a matrix of distances, in memory at a time


def coverage(generated: SetFeatures, reference: SetFeatures) -> tuple[float, float]:
    """Coverage and density of a generated set, both better if higher.

    Args:
        generated: With at least one picture, and kept features.
        reference: The truths, with at least two pictures, and kept features.

    Raises:
        CaflowError: (exit 2) a set consists of statistics only.
    """
    made, true = generated.features, reference.features
    radii, k = _radii(true)
    covered, inside = 0, 0
    for rows, radius in zip(true.split(_ROWS), radii.split(_ROWS), strict=True):
        within = _distances(rows, made) <= radius[:, None]
        covered += int(within.any(1).sum())
        inside += int(within.sum())
    return covered / len(true), inside / (k * len(made))


def own_coverage(nearest: Sequence[float], reference: SetFeatures) -> float:
    """The share of truths whose ball holds a picture drawn for that truth's own condition.

    Args:
        nearest: Distance of each truth to the nearest picture of its own condition, in the
            truths' order.
        reference: The truths, with kept features, all of them.
    """
    radii, _ = _radii(reference.features)
    return float((torch.tensor(nearest, dtype=torch.float64) <= radii).double().mean())


def _radii(true: Tensor) -> tuple[Tensor, int]:
    """The radius of each truth's ball, (N,), and k."""
    k = min(_NEIGHBOURS, len(true) - 1)
    # A truth is its own nearest: hence k + 1.
    found = [_distances(rows, true).kthvalue(k + 1, 1).values for rows in true.split(_ROWS)]
    return torch.cat(found), k


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # Differences, not products: a picture's distance to itself is exactly 0.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
