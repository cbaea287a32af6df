"""The pattern that an enlarging net repeats at the pixels of its lattice."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["lattice"]

_NEAR = 5  # fine detail: what differs from the mean of so many pixels squared
_CELLS = 7  # a block's side, in cells of a period


def lattice(x: Tensor, period: int = 4) -> Tensor:
    """The root mean square of the fine detail that repeats every `period` pixels, (B,).

        h = x - its mean over 5×5 pixels
        m_p = mean_k h[p + period k] over blocks of 7×7 cells, less its mean over the phases p
        lattice = √(mean of m_p² over phases, blocks and channels)

    A net that enlarges makes its pixels in cells of `period`, and what it repeats there looks to
    LPIPS like texture, and to people like a grid. In photographs fine detail is as good as
    independent of the phase, so only chance is left: a seventh of its standard deviation.

    Args:
        x: Pictures (B, C, H, W), whose sides hold at least one block: 32 pixels for a
            period of 4.
        period: In pixels.
    """
    edge = _NEAR // 2
    fine = x[..., edge:-edge, edge:-edge] - F.avg_pool2d(x, _NEAR, stride=1)
    height, width = (side // period * period for side in fine.shape[-2:])
    cells = F.pixel_unshuffle(fine[..., :height, :width], period)
    means = F.avg_pool2d(cells, _CELLS, stride=(_CELLS + 1) // 2)
    of_phases = means.unflatten(1, (x.shape[1], period**2))
    apart = of_phases - of_phases.mean(dim=2, keepdim=True)
    found: Tensor = (apart.square().flatten(1).mean(1) + 1e-8).sqrt()  # at 0 it has no gradient
    return found
