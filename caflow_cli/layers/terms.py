"""What all layers share: float64 sums, the scale bound, and one condition for many candidates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["bounded", "observe", "observed", "per_candidate", "sum_per_image", "volume"]

_observer: Callable[[Tensor], None] | None = None


@contextmanager
def observed(observer: Callable[[Tensor], None]) -> Iterator[None]:
    """Show `observer` every term of log p(w|y) before it is summed over space: (B, ..., H, W).

    Every term of a forward pass comes with the sign that it has in log p. Those of an inverse do
    not. For one thread at a time.
    """
    global _observer
    before, _observer = _observer, observer
    try:
        yield
    finally:
        _observer = before


def observe(term: Callable[[], Tensor]) -> None:
    """Show a term to the observer, if there is one; else it is not even computed."""
    if _observer is not None:
        _observer(term())


def sum_per_image(x: Tensor) -> Tensor:
    """Sum over all but the first dimension, accumulated in float64: (B, ...) -> (B,)."""
    observe(lambda: x)
    return x.flatten(1).sum(1, dtype=torch.float64)


def volume(log_scale: Tensor, x: Tensor) -> Tensor:
    """Log-determinant of a per-channel map with log-scales (C,), at every pixel of x: (B,)."""
    total = log_scale.sum(dtype=torch.float64)
    observe(lambda: total.expand(x.shape[0], *x.shape[-2:]))
    return (x.shape[-2] * x.shape[-1] * total).expand(x.shape[0])


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
