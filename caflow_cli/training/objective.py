"""The losses of phases, and the module that computes one in all processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..devices import wide
from ..model import CAFlow, LossTerms, bits_per_dim
from ..tasks import get_task
from .batches import DRAWN, Batch
from .lattice import lattice

__all__ = [
    "DrawnLosses",
    "Loss",
    "Objective",
    "ObjectiveModule",
    "Perceptual",
    "PictureLoss",
    "anchor_density",
    "density_and_draws",
    "losses_of_draws",
    "meant_picture",
    "picture_loss",
    "whole_density",
]


class Loss(NamedTuple):
    """Means over a batch or a part of it, as float64 scalars."""

    loss: Tensor  # to minimise
    bits_per_dim: Tensor  # of log p(w|y) alone; of a loss in other units, that
    cond_bits_per_dim: Tensor  # of log p(y), a dimension of y; 0 where there is none
    picture: Tensor  # the loss of pictures; 0 where there is none


Objective = Callable[[CAFlow, Batch], Loss]
Perceptual = Callable[[Tensor, Tensor], Tensor]  # a distance of pictures, (B, 3, H, W) to (B,)
PictureLoss = Perceptual  # another
# The losses (B,) of what a model draws of a target and a condition with some seeds.
DrawnLosses = Callable[[CAFlow, Tensor, Tensor, Tensor], Tensor]


def whole_density(cond_weight: float) -> Objective:
    """`-(log p(w|y) + λ log p(y)) / (dim(w) ln 2)`, with λ = `cond_weight`: the paper's loss."""

    def objective(model: CAFlow, batch: Batch) -> Loss:
        return _loss(model(*batch.points), batch, cond_weight)

    return objective


def density_and_draws(cond_weight: float, weight: float, losses: DrawnLosses) -> Objective:
    """`whole_density` and `weight` times the losses of what is drawn of some of the batch.

    Args:
        cond_weight: λ.
        weight: Of the losses of draws.
        losses: Those losses, as of `losses_of_draws`.
    """
    density = whole_density(cond_weight)

    def objective(model: CAFlow, batch: Batch) -> Loss:
        found = density(model, batch)
        some = batch.draws >= 0
        if not some.any():
            return found
        lost = losses(model, batch.target[some], batch.cond[some], batch.draws[some])
        # Over the pictures that a part of this size has on average: then the parts' mean is the
        # batch's, however it is divided.
        picture = wide(lost.sum() * DRAWN / len(some))
        return found._replace(loss=found.loss + weight * picture, picture=picture)

    return objective


def losses_of_draws(pictures: PictureLoss, tau: float) -> DrawnLosses:
    """The losses of means of two opposite draws, of whole w and of y + u' (B, C, H, W).

    The two have latents z and -z at a temperature from U(0, `tau`), both from the picture's seed.
    Their mean, composed as the task writes it, is compared with w. So the middle of the draws, at
    the temperatures that are used, learns how pictures look. Draws of one input grow alike there:
    what of their spread is even in z blurs the mean.

    Args:
        pictures: The loss of a picture.
        tau: The highest temperature. 0: the picture at τ 0 alone learns.
    """

    def losses(model: CAFlow, target: Tensor, cond: Tensor, seeds: Tensor) -> Tensor:
        if tau == 0:
            drawn = model.central_picture(cond)
        else:
            shapes = model.latent_shapes((cond.shape[-2], cond.shape[-1]))
            of_each = [_latents(seed, shapes, tau) for seed in seeds.tolist()]
            latents = [torch.stack(z) for z in zip(*of_each, strict=True)]
            drawn = model.mean_of_opposites(cond, latents)
        composed = get_task(model.config).settle_points(cond.floor() + 0.5, drawn)
        return pictures(composed / 128 - 1, (target + 0.5) / 128 - 1)

    return losses


def _latents(seed: int, shapes: list[tuple[int, int, int]], tau: float) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    own = tau * torch.rand((), generator=generator)
    return [own * torch.randn(shape, generator=generator) for shape in shapes]


def anchor_density(model: CAFlow, batch: Batch) -> Loss:
    """`-log p(w|y) / (dim(w) ln 2)` of the anchor and its guide with no flow behind them."""
    return _loss(model.anchor_terms(*batch.points), batch, cond_weight=0.0)


def meant_picture(pictures: PictureLoss) -> Objective:
    """The mean loss of the pictures that the guide means."""

    def objective(model: CAFlow, batch: Batch) -> Loss:
        x, w = model.meant_picture(batch.cond) / 128 - 1, (batch.target + 0.5) / 128 - 1
        loss = wide(pictures(x, w).mean())
        return Loss(loss, loss, torch.zeros_like(loss), loss)

    return objective


def picture_loss(
    perceptual: Perceptual | None = None, weight: float = 0.0, lattice_weight: float = 0.0
) -> PictureLoss:
    """`mean |x - w| + weight d(x, w) + lattice_weight g(x)` of pictures x, w in [-1, 1].

    Shapes: pairs (B, 3, H, W) to (B,).

    Args:
        perceptual: d.
        weight: Of d.
        lattice_weight: Of g, what `lattice` finds.
    """

    def loss(x: Tensor, w: Tensor) -> Tensor:
        near = (x - w).abs().flatten(1).mean(1)
        if perceptual is not None:
            near = near + weight * perceptual(x, w)
        return near + lattice_weight * lattice(x) if lattice_weight else near

    return loss


def _loss(terms: LossTerms, batch: Batch, cond_weight: float) -> Loss:
    log_prob, cond_log_prob = terms.log_prob.mean(), terms.cond_log_prob.mean()
    dims = batch.target[0].numel()
    bits = bits_per_dim(log_prob, dims)
    return Loss(
        picture=torch.zeros_like(bits),
        loss=bits + bits_per_dim(cond_weight * cond_log_prob, dims),
        bits_per_dim=bits,
        cond_bits_per_dim=bits_per_dim(cond_log_prob, batch.cond[0].numel()),
    )


class ObjectiveModule(nn.Module):
    """An objective as a module, because `DistributedDataParallel` supports only `forward`.

    Args:
        model: Trained in place.
        objective: Computed by `forward` from the tensors of a `Batch`.
    """

    def __init__(self, model: CAFlow, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, target: Tensor, cond: Tensor, noise: Tensor, draws: Tensor) -> Loss:
        return self.objective(self.model, Batch(target, cond, noise, draws))
