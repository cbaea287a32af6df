"""Composition of layers, with the sum of their log-determinants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from ..devices import wide_zeros
from ..layers import Composed

__all__ = ["Link", "forward_through", "inverse_through"]


class _Invertible(Protocol):
    def __call__(self, x: Tensor, cond: Any, /) -> tuple[Tensor, Tensor]: ...

    def inverse(self, y: Tensor, cond: Any, /) -> tuple[Tensor, Tensor]: ...


class Link(NamedTuple):
    """A layer of a chain, and its arguments beside x."""

    layer: _Invertible
    cond: object = None  # of the layer's own kind
    # Of a layer that begins with a `ChannelAffine`: its map, for the way forward alone.
    composed: Composed | None = None


def forward_through(
    links: Sequence[Link], x: Tensor, recompute: bool = False
) -> tuple[Tensor, Tensor]:
    """`y = f_m(... f_1(x))` and `Σ_k log|det df_k|`, (B,) float64 (paper equation 2).

    With `recompute`, only the values between layers are kept for the backward pass, which then runs
    each layer again.
    """
    logdet = wide_zeros(x.shape[0], x)
    for layer, cond, composed in links:
        arguments = (x, cond) if composed is None else (x, cond, composed)
        if recompute and torch.is_grad_enabled():
            x, term = checkpoint(layer, *arguments, use_reentrant=False, preserve_rng_state=False)
        else:
            x, term = layer(*arguments)
        logdet = logdet + term
    return x, logdet


def inverse_through(links: Sequence[Link], y: Tensor) -> tuple[Tensor, Tensor]:
    """`x = f_1^-1(... f_m^-1(y))` and the log-determinant of that direction."""
    logdet = wide_zeros(y.shape[0], y)
    for layer, cond, _ in reversed(links):
        y, term = layer.inverse(y, cond)
        logdet = logdet + term
    return y, logdet
