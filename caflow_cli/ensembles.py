"""Metrics of M candidates together, the members of an ensemble, place by place.

They take numbers in any unit, such as levels: `members` (M, ...), independent draws, and `truth`
(...). To leave places out, select the others: `members[:, where]` and `truth[where]`.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]


def diversity(members: Array) -> float:
    """Spread, in the unit: the root of the variance over members (divisor M - 1), averaged over
    places."""
    return float(np.sqrt(members.var(0, ddof=1, dtype=np.float64).mean()))


def crps(members: Array, truth: Array) -> Array:
    """Continuous ranked probability score of each place, (...) float64 in the unit; 0 is best.

    The score of a distribution is E|X - y| - E|X - X'| / 2, with the truth y. This is its fair
    estimate: the mean over pairs of different members makes it unbiased for every M. One member is
    a forecast without spread; its score is the absolute error.
    """
    m = len(members)
    members = members.astype(np.float64)
    error: Array = np.abs(members - truth).mean(0)
    if m == 1:
        return error
    # Sorted, member k is above k others and below m - 1 - k.
    weights = 2 * np.arange(m) - (m - 1)
    pairs: Array = np.tensordot(weights, np.sort(members, 0), 1)
    return error - pairs / (m * (m - 1))


def rank_histogram(members: Array, truth: Array) -> Array:
    """Shares of places whose truth has each rank among the members: (M + 1,) float64, sum 1.

    If truth and members have the same distribution, all ranks are equally likely. A truth that ties
    with e members adds 1 / (e + 1) to each possible rank: the mean over ties broken at random.
    """
    least = (members < truth).sum(0)
    equal = (members == truth).sum(0)
    shares = []
    for rank in range(len(members) + 1):
        possible = (least <= rank) & (rank <= least + equal)
        shares.append((possible / (equal + 1)).mean())
    return np.array(shares)


def central_share(histogram: Array, share: float) -> float:
    """The share of true values that lie in the central `share` of the members.

    Rank r of M + 1 stands for the range from r / (M + 1) to (r + 1) / (M + 1), over which its
    mass is spread evenly. The result is the mass between `(1 - share) / 2` and `(1 + share) / 2`.
    If truth and members have the same distribution, it equals `share`, whatever M is.
    """
    bins = len(histogram)
    edges = np.arange(bins + 1) / bins
    inside = np.diff(edges.clip((1 - share) / 2, (1 + share) / 2)) * bins
    return float(histogram @ inside)


def unevenness(histograms: Array) -> tuple[list[float], float | None]:
    """How far ranks are from uniform: the share of truths that would have to change their rank.

    Args:
        histograms: `rank_histogram` of n images, (n, M + 1).

    Returns:
        n values, whose mean is the distance: half the sum of absolute differences of the mean
        histogram from the uniform one. And the distance that is expected by chance if ranks are
        uniform, from the deviation between images; None for one image.
    """
    n, bins = histograms.shape
    apart = histograms - 1 / bins
    values = apart @ np.sign(apart.mean(0)) / 2
    by_chance = None
    if n > 1:
        errors = histograms.std(0, ddof=1) / np.sqrt(n)
        by_chance = float(errors.sum() / np.sqrt(2 * np.pi))  # E|X| / 2 of normal X
    return values.tolist(), by_chance
