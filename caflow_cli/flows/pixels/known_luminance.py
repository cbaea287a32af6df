"""The map from pixels to the real line, for conditions that determine the luminance."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...devices import wide_zeros
from ...layers.terms import per_candidate, volume
from .logit import Logit

__all__ = ["KnownLuminance"]

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114  # Rec. 601, as Pillow's `convert("L")` weighs them


class KnownLuminance(nn.Module):
    """`h = (r + (0.114 / 0.299) b, luminance(v) - g, b)`, r, b = logit v_R, v_B - logit g.

    g = w_y + 1/2 is the grey. luminance(v) = 0.299 v_R + 0.587 v_G + 0.114 v_B, which the grey
    picture determines to about a level. The first value of h is, up to sign, scale and second
    order, the green that follows from v_R, v_B and the grey. Colours are mostly warm or cold, so
    this value varies least. A guide scales each value separately, so it could not use this relation
    with plain red and blue. A sampled v_G may leave [0, 256), and is clamped when the picture is
    rounded to 8 bits.

    Shapes: v, h (B, 3, H, W); cond y, grey in [0, 256): (B or B / M, 1, H, W).
    """

    def __init__(self, logit: Logit) -> None:
        super().__init__()
        self.logit = logit

    def complete(self, cond: Tensor) -> Tensor:
        """Return the condition as it is: the map needs nothing beside it."""
        return cond

    def supports(self, v: Tensor, cond: Tensor) -> bool:
        """Whether every value has a density. Any value of green has one."""
        return bool(v.isfinite().all()) and self.logit.supports(v[:, ::2])

    def unknown(self, cond: Tensor) -> Tensor:
        """1 for values that the condition does not determine: all but the luminance, 0."""
        return cond.new_tensor([1.0, 0.0, 1.0]).view(1, 3, 1, 1)

    def near_ends(self, v: Tensor, cond: Tensor) -> Tensor:
        """Which values of red and blue lie near an end of what has a density: (B, 2, H, W)."""
        return self.logit.near_ends(v[:, ::2])

    def _read(self, cond: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        grey = cond.floor() + 0.5
        return per_candidate(grey, batch), per_candidate(self.logit.of(grey), batch)

    def _of_green(self, v: Tensor) -> Tensor:
        """Log-determinant of the map from green to luminance."""
        return volume(wide_zeros(1, v) + math.log(_GREEN), v)

    def forward(self, v: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        grey, level = self._read(cond, v.shape[0])
        red, green, blue = v.split(1, dim=1)
        h, logdet = self.logit(torch.cat([red, blue], dim=1))
        rest = _RED * red + _GREEN * green + _BLUE * blue - grey
        logdet = logdet + self._of_green(v)
        r, b = (h - level).split(1, dim=1)
        return torch.cat([r + _BLUE / _RED * b, rest, b], dim=1), logdet

    def inverse(self, h: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        grey, level = self._read(cond, h.shape[0])
        first, rest, b = h.split(1, dim=1)
        others, logdet = self.logit.inverse(torch.cat([first - _BLUE / _RED * b, b], dim=1) + level)
        red, blue = others.split(1, dim=1)
        green = (rest + grey - _RED * red - _BLUE * blue) / _GREEN
        return torch.cat([red, green, blue], dim=1), logdet - self._of_green(h)
