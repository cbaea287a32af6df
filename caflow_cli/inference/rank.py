"""Rules that order candidates; none of them sees the truth.

    likelihood  v_k = log p(w_k | y), in tiles the rank score     falling
    consensus   v_k = 1 / (M - 1)  Σ_{j ≠ k} RMSE(x_k, x_j)       rising
    none        the order of k

x_k is candidate k as it is written, w_k what is scored of it. Of equal values the likelier comes
first, then the smaller k. `consensus` has the least expected RMSE to a sample (minimum Bayes risk).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..tasks import Pixels

__all__ = ["distances", "order"]

Values: TypeAlias = npt.NDArray[np.float64]


def order(
    rule: str, scores: Sequence[float], apart: Values | None = None
) -> list[tuple[int, float | None]]:
    """Order the M candidates, the best first: the index of each, and v_k.

    v_k is None where the rule has none: "none", or no other candidate to compare with.

    Args:
        rule: One of `RANKS`.
        scores: log p of each, in nats.
        apart: `distances`, which "consensus" needs.

    Examples:
        >>> from caflow_cli.inference.rank import order
        >>> order("likelihood", [-3.0, -1.0, -2.0])
        [(1, -1.0), (2, -2.0), (0, -3.0)]
    """
    if rule == "none":
        return [(k, None) for k in range(len(scores))]
    likelier = sorted(range(len(scores)), key=lambda k: (-scores[k], k))
    if rule == "likelihood":
        return [(k, float(scores[k])) for k in likelier]
    assert apart is not None, "only consensus is left"
    if len(scores) == 1:
        return [(0, None)]
    means = {k: float(apart[k][[j for j in likelier if j != k]].mean()) for k in likelier}
    return [(k, means[k]) for k in sorted(likelier, key=lambda k: means[k])]


def distances(images: Sequence[Pixels]) -> Values:
    """RMSE between M images, in levels, over pixels and channels: (M, M) float64, symmetric."""
    apart = np.zeros((len(images), len(images)))
    for i, j in combinations(range(len(images)), 2):
        difference = np.subtract(images[i], images[j], dtype=np.int32)
        apart[i, j] = apart[j, i] = np.sqrt(np.square(difference).mean(dtype=np.float64))
    return apart
