"""The prior of every latent: a standard normal."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = ["standard_normal_log_prob"]


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """log N(z; 0, I) in nats: (B, ...) -> (B,), summed in float64."""
    dims = z[0].numel()
    squares = z.flatten(1).square().sum(1, dtype=torch.float64)
    return -0.5 * (squares + dims * math.log(2 * math.pi))
