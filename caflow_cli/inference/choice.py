"""Rules that order candidates, each with its formula; none of them sees the truth.

    likelihood        v_k = log p(w_k | y), in tiles the rank score                    falling
    consensus         v_k = 1 / (M - 1)  Σ_{j ≠ k} RMSE(x_k, x_j)                      rising
    typical           v_k = | log p(w_k | y) - 1/S Σ_s log p(w'_s | y) |               rising
    likely-consensus  v_k = mean over j in H, j ≠ k, of RMSE(x_k, x_j); H first        rising
    none              the order of k

x_k is candidate k as it is written, w_k what is scored of it, w'_s one of S = 32 draws of their own
at tau 1 for the same y, composed and scored like candidates. H is the likelier half, of ⌈M / 2⌉:
all of H comes before the rest. Of equal values the likelier comes first, then the smaller k.

`consensus` has the least expected RMSE to a draw (minimum Bayes risk). `typical` looks for the
log-likelihood that samples have, where `likelihood` below tau 1 finds the smoothest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..config import RULES
from ..tasks import Picture
from .candidates import OWN_SEED, Conditioned

__all__ = ["CONSENSUS", "Place", "Values", "distances", "order", "own_log_likelihoods"]

CONSENSUS = ("consensus", "likely-consensus")  # the rules that need `distances`
OWN_DRAWS = 32  # S
_AT_ONCE = 2**29  # bytes of composed pictures that are held for their distances

Values = npt.NDArray[np.float64]


class Place(NamedTuple):
    """A candidate's place in the order."""

    k: int
    value: float | None  # v_k; None where the rule has none: "none", or no other to compare with


def order(
    rule: str, scores: Sequence[float], apart: Values | None = None, own: Values | None = None
) -> list[Place]:
    """Order the M candidates, the best first.

    Args:
        rule: One of `RULES`, or "none".
        scores: log p of each, in nats.
        apart: `distances`, which the consensus rules need.
        own: `own_log_likelihoods`, which "typical" needs.

    Examples:
        >>> import numpy as np
        >>> from caflow_cli.inference.choice import order
        >>> order("likelihood", [-3.0, -1.0, -2.0])[0]
        Place(k=1, value=-1.0)
        >>> order("typical", [-3.0, -1.0, -2.0], own=np.array([-4.0, -2.5]))[0]
        Place(k=0, value=0.25)
        >>> apart = np.array([[0.0, 4.0, 1.0], [4.0, 0.0, 2.0], [1.0, 2.0, 0.0]])
        >>> order("consensus", [-3.0, -1.0, -2.0], apart)[0]
        Place(k=2, value=1.5)
        >>> order("likely-consensus", [-3.0, -1.0, -2.0], apart)[0]
        Place(k=1, value=2.0)
    """
    assert rule in (*RULES, "none"), "Sampling.of refuses others"
    everyone = range(len(scores))
    if rule == "none":
        return [Place(k, None) for k in everyone]
    likelier = sorted(everyone, key=lambda k: (-scores[k], k))
    if rule == "likelihood":
        return [Place(k, float(scores[k])) for k in likelier]
    if rule == "typical":
        assert own is not None
        mean = float(np.mean(own))
        return _rising([Place(k, abs(scores[k] - mean)) for k in likelier])
    assert apart is not None
    half = likelier if rule == "consensus" else likelier[: (len(scores) + 1) // 2]
    places = [Place(k, _mean_to(apart[k], [j for j in half if j != k])) for k in likelier]
    return _rising(places[: len(half)]) + _rising(places[len(half) :])


def _mean_to(row: Values, others: list[int]) -> float | None:
    return float(row[others].mean()) if others else None


def _rising(places: list[Place]) -> list[Place]:
    """By value; equal ones stay in their order."""
    return sorted(places, key=lambda place: place.value or 0.0)


def distances(count: int, image_of: Callable[[int], Picture]) -> Values:
    """RMSE between pictures, in levels, over pixels and channels: (M, M) float64, symmetric.

    Large pictures are made several times, so that few are in memory at once.

    Args:
        count: M.
        image_of: Makes picture k, uint8 (H, W, 3), all of one size.
    """
    apart = np.zeros((count, count))
    first = 0
    while first < count - 1:
        block = [image_of(first)]
        room = max(1, _AT_ONCE // block[0].nbytes)
        block += [image_of(k) for k in range(first + 1, min(count, first + room))]
        for j in range(first + 1, count):
            place = j - first
            other = block[place] if place < len(block) else image_of(j)
            for i, image in enumerate(block[: min(place, len(block))], first):
                apart[i, j] = apart[j, i] = _rmse(image, other)
        first += len(block)
    return apart


def _rmse(a: Picture, b: Picture) -> float:
    difference = np.subtract(a, b, dtype=np.int32)
    return float(np.sqrt(np.square(difference).mean(dtype=np.float64)))


def own_log_likelihoods(
    conditioned: Conditioned, noise_samples: int, batch_size: int | None = None
) -> Values:
    """log p of 32 draws at tau 1 of each request, composed and scored as candidates are:
    (requests, 32) float64, in nats. Their seeds are far from those of candidates, and fixed.

    Raises:
        CaflowError: A draw or a score is not finite.
    """
    requests = len(conditioned.requests)
    found = np.empty((requests, OWN_DRAWS))
    seeds = [OWN_SEED] * requests
    for draw, score in conditioned.candidates(1.0, OWN_DRAWS, seeds, noise_samples, batch_size):
        found[draw.request, draw.k] = score.rank_score
    return found
