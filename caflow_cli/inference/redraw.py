"""Draws that run away: where, and what is drawn in their place."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import CaflowError
from ..flows import standard_normal_log_prob
from ..model import CAFlow, Condition
from ..tasks import Picture
from ..temperature import Tau, Temperature

__all__ = ["REDRAWS", "Sampled", "decode_noise", "draw_sound", "runaway_cells"]

REDRAWS = 10  # of a candidate, at most
_BLOCK = 64  # pixels: the side of what is judged together, at least
_MOST = 12  # values of a block that may lie near an end: one in 1024
_NATS = 10.0  # a value: of the log-determinants, on average


class Sampled(NamedTuple):
    """A draw of a candidate's generator, and how many before it ran away."""

    picture: Picture  # uint8 (H, W, C)
    redraws: int


def runaway_cells(model: CAFlow, condition: Condition, points: Tensor, logdet: Tensor) -> Tensor:
    """Where draws have run away: cells of 2^(n+1) pixels, bool (B, H / 2^(n+1), W / 2^(n+1)).

        a block of 64×64 runs away, and the cells around it, if a value is not finite,
        or more than 12 values are near an end of what has a density
        all does, if no block does and |log-determinants| > 10 nats a value

    Pixels lie within [0, 256), and what has a density goes on for a margin on either side. A value
    whose logit h runs away lies at its end, and the logit's own term `log |dh/dv|`, which grows as
    |h|, decides the log-density. `near_ends` counts values with |h| > 11.8, where pixels have 3.7
    at most. Each draw is judged alone.

    Args:
        model: Whose draws they are.
        condition: Of one entry for M neighbouring draws each.
        points: Floats on the 8-bit scale (B, C, H, W).
        logdet: `log p(v|y) - Σ log N(z; 0, I)` of each, nats (B,).
    """
    multiple = model.config.flow.multiple
    cells = math.ceil(_BLOCK / multiple)  # of a block's side
    rows, columns = (side // multiple for side in points.shape[-2:])
    near = model.density.A.near_ends(points, condition.anchor)
    lost = ~points.isfinite().all(1)
    counts = torch.where(lost, _MOST + 1.0, near.to(torch.float32))
    side = cells * multiple
    in_blocks = F.avg_pool2d(counts[:, None], side, ceil_mode=True, divisor_override=1)[:, 0]
    away = in_blocks > _MOST
    # Written so that NaN runs away.
    off = ~(logdet.abs() <= _NATS * points[0].numel()).to(away.device)
    away |= (off & ~away.flatten(1).any(1))[:, None, None]
    away = away.repeat_interleave(cells, 1).repeat_interleave(cells, 2)[:, :rows, :columns]
    return F.max_pool2d(away[:, None].to(torch.float32), 3, 1, 1)[:, 0] > 0


def decode_noise(
    model: CAFlow, condition: Condition, latents: Sequence[Tensor], bf16: bool = False
) -> tuple[Tensor, Tensor]:
    """The points of latents, floats (B, C, H, W), and their `runaway_cells`."""
    points, log_prob = model.decode(latents, condition, bf16=bf16)
    gaussian = torch.stack([standard_normal_log_prob(z) for z in latents]).sum(0)
    return points, runaway_cells(model, condition, points, log_prob - gaussian.to(log_prob))


def draw_sound(
    draw: Callable[[Tensor | None], tuple[Picture, Tensor]],
    exchange: Callable[[Tensor], None],
    tau: Tau,
) -> Sampled:
    """Draw, and where the draw runs away draw again of the generator's next latents.

    Args:
        draw: The picture, and its `runaway_cells`, (rows, columns). It is told in which cells the
            latents are others than at its last call; None: it is the first.
        exchange: Lets the generator's next latents count in those cells.
        tau: For the message.

    Raises:
        CaflowError: The draw and its ten redraws run away.
    """
    changed: Tensor | None = None
    for redraws in range(REDRAWS + 1):
        picture, cells = draw(changed)
        if not bool(cells.any()):
            return Sampled(picture, redraws)
        if redraws < REDRAWS:
            changed = cells.cpu()
            exchange(changed)
    warmth = Temperature.of(tau)
    raise CaflowError(
        f"{REDRAWS + 1} draws in a row run away from what the model knows at tau {warmth}",
        "a lower --tau, or a picture more like those of the training",
    )
