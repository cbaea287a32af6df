"""The map from pixels to the real line, for conditions with all pixels outside a hole."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...layers.terms import per_candidate, sum_per_image
from .logit import Logit

__all__ = ["HOLE", "KnownPixels"]

HOLE = 128  # a mask's values from here up are the hole


class KnownPixels(nn.Module):
    """`h = logit(v)` in the hole, `v - (w_y + 1/2)` outside of it.

    Shapes: v, h (B, 3, H, W); cond y, RGB and mask in [0, 256): (B or B / M, 4, H, W).
    """

    def __init__(self, logit: Logit) -> None:
        super().__init__()
        self.logit = logit

    def complete(self, cond: Tensor) -> Tensor:
        """Return the condition as it is: the map needs nothing beside it."""
        return cond

    def supports(self, v: Tensor, cond: Tensor) -> bool:
        """Whether every value has a density. Any value outside the hole has one."""
        hole, _ = self._read(cond, v.shape[0])
        return bool(v.isfinite().all()) and self.logit.supports(torch.where(hole, v, 0.0))

    def unknown(self, cond: Tensor) -> Tensor:
        """1 for values that the condition does not determine, in the hole, else 0."""
        return (cond[:, 3:] >= HOLE).to(cond.dtype)

    def near_ends(self, v: Tensor, cond: Tensor) -> Tensor:
        """Which values lie near an end of what has a density: in the hole."""
        return self.logit.near_ends(v) & self._read(cond, v.shape[0])[0]

    def _read(self, cond: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        hole, known = cond[:, 3:] >= HOLE, cond[:, :3].floor() + 0.5
        return per_candidate(hole, batch), per_candidate(known, batch)

    def _logdet(self, h: Tensor, hole: Tensor) -> Tensor:
        return sum_per_image(torch.where(hole, self.logit.log_derivative(h), 0.0))

    def forward(self, v: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        hole, known = self._read(cond, v.shape[0])
        h = self.logit.of(v)
        return torch.where(hole, h, v - known), self._logdet(h, hole)

    def inverse(self, h: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        hole, known = self._read(cond, h.shape[0])
        v = self.logit.back(h)
        return torch.where(hole, v, h + known), -self._logdet(h, hole)
