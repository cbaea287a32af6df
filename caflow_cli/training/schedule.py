"""The learning rate over a run."""

from __future__ import annotations

import math

from .config import OptimConfig

__all__ = ["learning_rate"]

_WARMUP_SHARE = 0.2
_LEAST_WARMUP = 150  # steps


def learning_rate(optim: OptimConfig, step: int, progress: float, epoch: int) -> float:
    """The learning rate of a step: linear warm-up to `lr`, times the factor of `schedule`.

    The warm-up takes `warmup` steps. Under "cosine" it takes at most a fifth of the budget, so that
    a short run has time left to learn. But it takes at least 150 steps, unless `warmup` is smaller,
    because weights that have hardly moved do not stand the whole rate.

        cosine   f + (1 - f) (1 + cos(π progress)) / 2         f = lr_floor
        stable   1; from progress 1 - s on f + (1 - f) (1 - √((progress - 1 + s) / s)),
                                                               s = decay_share
        paper    lr_decay^epoch, and times lr_drop from step lr_drop_step on

    "stable" does not depend on the budget before its decay, nor does its warm-up, so a run need not
    know its end: a larger budget changes no step that has been made, if all learn from the first
    step on. (Where a guide learns alone, that takes a share of the budget.) The form of the decay
    is that of Hägele et al. 2024, "Scaling laws and compute-optimal training beyond fixed training
    durations".

    The paper (appendix B) names PyTorch's StepLR with γ = 0.999 and a drop to a tenth "around 70K
    iterations", once. We assume that γ is applied once an epoch. Applied at every step, it would
    have ended training long before.

    Args:
        step: Number of the step, from 0.
        progress: Share of the budget spent, in images or in time.
        epoch: How often all training pictures have been seen.
    """
    warm = (step + 1) / max(1, optim.warmup)
    peak = optim.lr * min(1.0, warm)
    if optim.schedule == "paper":
        drop = optim.lr_drop if step >= optim.lr_drop_step else 1.0
        return peak * drop * optim.lr_decay**epoch
    if optim.schedule == "cosine":
        short = min(progress / _WARMUP_SHARE, (step + 1) / _LEAST_WARMUP)
        peak = optim.lr * min(1.0, max(warm, short))
    factor = _factor(optim, min(1.0, max(0.0, progress)))
    return peak * (optim.lr_floor + (1 - optim.lr_floor) * factor)


def _factor(optim: OptimConfig, progress: float) -> float:
    """How much of the way from `lr_floor` to 1 is left."""
    if optim.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    begin = 1 - optim.decay_share
    return 1.0 if progress <= begin else 1 - math.sqrt((progress - begin) / optim.decay_share)
