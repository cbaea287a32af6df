"""The losses of phases, and the module that computes one in all processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..devices import wide
from ..model import CAFlow, LossTerms, bits_per_dim
from .batches import Batch

__all__ = [
    "Loss",
    "Objective",
    "ObjectiveModule",
    "Perceptual",
    "anchor_density",
    "meant_picture",
    "whole_density",
]


class Loss(NamedTuple):
    """Means over a batch or a part of it, as float64 scalars."""

    loss: Tensor  # to minimise
    bits_per_dim: Tensor  # of log p(w|y) alone; of a loss in other units, that
    cond_bits_per_dim: Tensor  # of log p(y), a dimension of y; 0 where there is none


Objective = Callable[[CAFlow, Batch], Loss]
Perceptual = Callable[[Tensor, Tensor], Tensor]  # a distance of pictures


def whole_density(cond_weight: float) -> Objective:
    """`-(log p(w|y) + λ log p(y)) / (dim(w) ln 2)`, with λ = `cond_weight`: the paper's loss."""

    def objective(model: CAFlow, batch: Batch) -> Loss:
        return _loss(model(*batch), batch, cond_weight)

    return objective


def anchor_density(model: CAFlow, batch: Batch) -> Loss:
    """`-log p(w|y) / (dim(w) ln 2)` of the anchor and its guide with no flow behind them."""
    return _loss(model.anchor_terms(*batch), batch, cond_weight=0.0)


def meant_picture(perceptual: Perceptual | None = None, weight: float = 0.0) -> Objective:
    """`mean |x - w| + weight d(x, w)` of the picture x that the guide means, in [-1, 1].

    Args:
        perceptual: d, of pairs of pictures in [-1, 1], (B, 3, H, W) to (B,).
        weight: Of d.
    """

    def objective(model: CAFlow, batch: Batch) -> Loss:
        x = model.meant_picture(batch.cond) / 128 - 1
        w = (batch.target + 0.5) / 128 - 1
        loss = (x - w).abs().mean()
        if perceptual is not None:
            loss = loss + weight * perceptual(x, w).mean()
        loss = wide(loss)
        return Loss(loss, loss, torch.zeros_like(loss))

    return objective


def _loss(terms: LossTerms, batch: Batch, cond_weight: float) -> Loss:
    log_prob, cond_log_prob = terms.log_prob.mean(), terms.cond_log_prob.mean()
    dims = batch.target[0].numel()
    bits = bits_per_dim(log_prob, dims)
    return Loss(
        loss=bits + bits_per_dim(cond_weight * cond_log_prob, dims),
        bits_per_dim=bits,
        cond_bits_per_dim=bits_per_dim(cond_log_prob, batch.cond[0].numel()),
    )


class ObjectiveModule(nn.Module):
    """An objective as a module, because `DistributedDataParallel` supports only `forward`.

    Args:
        model: Trained in place.
        objective: Computed by `forward(target, cond, noise)` from the tensors of a `Batch`.
    """

    def __init__(self, model: CAFlow, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, target: Tensor, cond: Tensor, noise: Tensor) -> Loss:
        return self.objective(self.model, Batch(target, cond, noise))
