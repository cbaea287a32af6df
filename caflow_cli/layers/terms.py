"""What all layers share: float64 sums, the scale bound, and one condition for many candidates."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["bounded", "per_candidate", "sum_per_image", "volume"]


def sum_per_image(x: Tensor) -> Tensor:
    """Sum over all but the first dimension, accumulated in float64: (B, ...) -> (B,)."""
    return x.flatten(1).sum(1, dtype=torch.float64)


def volume(log_scale: Tensor, x: Tensor) -> Tensor:
    """Log-determinant of a per-channel map with log-scales (C,), at every pixel of x: (B,)."""
    pixels = x.shape[-2] * x.shape[-1]
    return (pixels * log_scale.sum(dtype=torch.float64)).expand(x.shape[0])


def bounded(raw: Tensor, bound: float) -> Tensor:
    """`c tanh(raw / c)`: a log-scale in (-c, c), the identity to third order at 0.

    An unbounded log-scale lets a trained flow stretch by more than float32 can undo.
    """
    return bound * torch.tanh(raw / bound)


def per_candidate(value: Tensor, batch: int) -> Tensor:
    """Repeat what was computed once an image, (B, ...), for its candidates: (B*M, ...).

    Candidates of an image are neighbours in the batch. A copy is made only where M > 1.
    """
    repeats = batch // value.shape[0]
    return value if repeats == 1 else value.repeat_interleave(repeats, dim=0)
