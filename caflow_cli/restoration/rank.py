"""Rank candidates, by rules that do not use the truth (paper section 4.4)."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from ..images import Pixels
from ..tasks.base import levels_in

Values = npt.NDArray[np.float64]


def order(
    rule: str, scores: Sequence[float], apart: Values | None = None
) -> list[tuple[int, float | None]]:
    """Rank the M candidates, best first: the index and v_k of each. No rule uses the truth.

        likelihood  v_k = log p(w_k | y), or the rank score           descending
        consensus   v_k = 1 / (M - 1)  Σ_{j ≠ k} RMSE(x_k, x_j)       ascending
        none        the order of k

    x_k is candidate k before edits, and w_k its reduced form that is scored. Ties are broken by
    likelihood, then by k. `consensus` minimizes the expected RMSE to a sample (minimum Bayes
    risk). v_k is None under "none", and under "consensus" if there is only one candidate.

    Args:
        rule: One of `RANKS`.
        scores: log p of each candidate, or its rank score, in nats.
        apart: The result of `rmse_between`, required by "consensus".

    Examples:
        >>> from caflow_cli.restoration import order
        >>> order("likelihood", [-3.0, -1.0, -2.0])
        [(1, -1.0), (2, -2.0), (0, -3.0)]
    """
    if rule == "none":
        return [(k, None) for k in range(len(scores))]
    likelier = sorted(range(len(scores)), key=lambda k: -scores[k])  # stable
    if rule == "likelihood":
        return [(k, float(scores[k])) for k in likelier]
    assert apart is not None, "only consensus is left"
    if len(scores) == 1:
        return [(0, None)]
    return _by_consensus(likelier, apart)


def _by_consensus(likelier: Sequence[int], apart: Values) -> list[tuple[int, float | None]]:
    """Rank the indices, the likelier ones first, by their mean distance to the others."""
    means: dict[int, float] = {}
    for k in likelier:
        others = [j for j in likelier if j != k]
        means[k] = float(apart[k][others].mean())
    return [(k, means[k]) for k in sorted(means, key=means.__getitem__)]


def rmse_between(images: Sequence[Pixels]) -> Values:
    """Pairwise RMSE of M images over pixels and channels, in levels of 0-255: (M, M) float64."""
    apart = np.zeros((len(images), len(images)))
    for i, j in combinations(range(len(images)), 2):
        squares = np.square(np.subtract(images[i], images[j], dtype=np.int64))
        rmse = np.sqrt(squares.mean(dtype=np.float64)) / levels_in(images[i])
        apart[i, j] = rmse
        apart[j, i] = rmse
    return apart
