"""The prior of every latent: a standard normal."""

from __future__ import annotations

import math

from torch import Tensor

from ..devices import wide, wide_sum
from ..layers.terms import observe

__all__ = ["standard_normal_log_prob"]


def standard_normal_log_prob(z: Tensor, sign: int = 1) -> Tensor:
    """`sign log N(z; 0, I)` in nats: (B, ...) -> (B,), summed in float64.

    The sign is -1 if a score divides by the density.
    """
    constant = math.log(2 * math.pi)
    observe(lambda: -0.5 * sign * (wide(z).square() + constant))
    # Over the dimensions as they lie: to flatten channels_last would copy.
    squares = wide_sum(z.square(), tuple(range(1, z.ndim)))
    return -0.5 * sign * (squares + z[0].numel() * constant)
