"""Refinement: gradient steps on the latents of a draw that raise its log-density."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ..devices import tf32
from ..errors import CaflowError
from ..flows import standard_normal_log_prob
from ..model import CAFlow, Condition
from ..tasks import Picture
from .redraw import Sampled, runaway_cells

__all__ = ["FIRST_STEP", "Refined", "check_refinable", "refined"]

FIRST_STEP = 0.01  # of the gradient: η at the first step
_LONGER, _SHORTER = 1.25, 0.5  # what η is multiplied by behind a step that is kept, or is not
_MOST = 2**18  # pixels of the model's picture: a gradient takes 8 kB a pixel of the bundled models


class Refined(NamedTuple):
    """A draw, and the picture that it was refined to."""

    drawn: Sampled
    picture: Picture  # uint8 (H, W, C)


def check_refinable(size: tuple[int, int]) -> None:
    """Refuse pictures whose gradient would not fit into memory, all that are in tiles among them.

    Args:
        size: Height and width that the model works on.

    Raises:
        CaflowError: It has more than 2^18 pixels.
    """
    height, width = size
    if height * width > _MOST:
        raise CaflowError(
            f"candidates of {width}×{height} pixels cannot be refined, only up to {_MOST} pixels",
            "leave --refine out, or shrink the picture",
        )


def refined(
    model: CAFlow, condition: Condition, latents: Sequence[Tensor], steps: int
) -> list[Tensor]:
    """Latents of a picture that is at least as likely as that of the given ones.

        z ← z + η ∇_z log p(v(z) | y)

    v(z) is the picture of z as floats, and its log-density that of `density.inverse`. A step that
    does not raise it, or behind which the picture runs away (`runaway_cells`), is taken back, and
    halves η. Every other step makes η a quarter longer; the first one is `FIRST_STEP`. Nothing is
    random. Each step costs a pass through the inverse and one back.

    Args:
        model: In `eval()`.
        condition: Of one entry.
        latents: As from `encode`, each (1, C, h, w).
        steps: Gradient steps, those that are taken back included.
    """
    best = list(latents)
    if steps == 0:
        return best
    value, gradient, _ = _climb(model, condition, best)
    size = FIRST_STEP
    for _ in range(steps):
        trial = [z + size * slope for z, slope in zip(best, gradient, strict=True)]
        reached, slopes, sound = _climb(model, condition, trial)
        if sound and reached > value:
            best, value, gradient = trial, reached, slopes
            size *= _LONGER
        else:
            size *= _SHORTER
    return best


def _climb(
    model: CAFlow, condition: Condition, latents: Sequence[Tensor]
) -> tuple[float, list[Tensor], bool]:
    """log p of the latents' picture, its gradient, and whether the picture does not run away."""
    with torch.inference_mode(False), torch.enable_grad(), tf32(False):
        leaves = [z.detach().clone().requires_grad_() for z in latents]
        # The folded form is for inference alone.
        points, log_prob = model.density.inverse(leaves, condition)
        gradient = torch.autograd.grad(log_prob.sum(), leaves)
    with torch.no_grad():
        gaussian = torch.stack([standard_normal_log_prob(z) for z in latents]).sum(0)
        log_prob = log_prob.detach()
        away = runaway_cells(model, condition, points.detach(), log_prob - gaussian.to(log_prob))
    return float(log_prob), list(gradient), not bool(away.any())
