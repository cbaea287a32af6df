"""The map from pixels to the real line, for holes whose surroundings say what fills them."""

from __future__ import annotations

import torch
from torch import Tensor

from ...layers.terms import per_candidate
from .fill import harmonic_fill
from .known_pixels import HOLE, KnownPixels

__all__ = ["FilledPixels"]


class FilledPixels(KnownPixels):
    """`h = logit(v) - logit(fill)` in the hole, `v - (w_y + 1/2)` outside of it.

    The fill is `harmonic_fill` of the known pixels w_y + 1/2. So h is what the picture has beyond a
    smooth continuation of its surroundings.

    Shapes: v, h (B, 3, H, W); cond, the result of `complete` for y: (B or B / M, 4, H, W).
    """

    def complete(self, cond: Tensor) -> Tensor:
        """Fill the hole: y, RGB and mask in [0, 256), with the fill in place of its RGB there."""
        hole = cond[:, 3:] >= HOLE
        fill = self.logit.nearest(harmonic_fill(cond[:, :3].floor() + 0.5, hole))
        return torch.cat([torch.where(hole, fill, cond[:, :3]), cond[:, 3:]], dim=1)

    def _level(self, cond: Tensor, batch: int) -> Tensor:
        return per_candidate(self.logit.of(cond[:, :3]), batch)

    def forward(self, v: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        hole, _ = self._read(cond, v.shape[0])
        h, logdet = super().forward(v, cond)
        return torch.where(hole, h - self._level(cond, v.shape[0]), h), logdet

    def inverse(self, h: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        hole, _ = self._read(cond, h.shape[0])
        return super().inverse(torch.where(hole, h + self._level(cond, h.shape[0]), h), cond)
