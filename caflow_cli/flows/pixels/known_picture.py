"""Pixels to the real line, where the condition is the picture itself, enlarged."""

from __future__ import annotations

from torch import Tensor, nn

from ...layers.terms import per_candidate
from .logit import Logit

__all__ = ["KnownPicture"]


class KnownPicture(nn.Module):
    """`h = logit(v) - logit(w_y + 1/2)`: what the picture has beyond its enlarged version w_y.

    Shapes: v, h (B, C, H, W); cond y in [0, 256), w_y its 8-bit part: (B or B / M, C, H, W).
    """

    def __init__(self, logit: Logit) -> None:
        super().__init__()
        self.logit = logit

    def complete(self, cond: Tensor) -> Tensor:
        """Return the condition as it is: the map needs nothing beside it."""
        return cond

    def supports(self, v: Tensor, cond: Tensor) -> bool:
        """Whether every value has a density."""
        return self.logit.supports(v)

    def unknown(self, cond: Tensor) -> float:
        """1 for values that the condition does not determine: all."""
        return 1.0

    def near_ends(self, v: Tensor, cond: Tensor) -> Tensor:
        """Which values lie near an end of what has a density."""
        return self.logit.near_ends(v)

    def _level(self, cond: Tensor, batch: int) -> Tensor:
        return per_candidate(self.logit.of(cond.floor() + 0.5), batch)

    def forward(self, v: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        h, logdet = self.logit(v)
        return h - self._level(cond, v.shape[0]), logdet

    def inverse(self, h: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        return self.logit.inverse(h + self._level(cond, h.shape[0]))
