"""Pixels to the real line, for conditions that determine part of the target."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ...config import HOLE
from ...devices import zeros_float64
from ...layers.terms import per_candidate, sum_per_image, volume
from .fill import harmonic_fill
from .logit import Logit

__all__ = ["FilledPixels", "KnownImage", "KnownLuminance", "KnownPixels"]

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114  # Rec. 601, as Pillow's `convert("L")` weighs them


class KnownImage(nn.Module):
    """`h = logit(v) - logit(w_y + 1/2)`: what the image has beyond its enlarged version w_y.

    Shapes: v, h (B, C, H, W); cond y in [0, 256), w_y its 8-bit part: (B or B / M, C, H, W).
    """

    def __init__(self, logit: Logit) -> None:
        super().__init__()
        self.logit = logit

    def complete(self, cond: Tensor) -> Tensor:
        """The condition, with what the map needs beside it."""
        return cond

    def supports(self, v: Tensor, cond: Tensor) -> bool:
        """Whether every value has a density."""
        return self.logit.supports(v)

    def unknown(self, cond: Tensor) -> Tensor | float:
        """1 for values that the condition does not determine, else 0."""
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


class KnownPixels(KnownImage):
    """`h = logit(v)` in the hole, `v - (w_y + 1/2)` outside of it.

    Shapes: v, h (B, 3, H, W); cond y, RGB and mask in [0, 256): (B or B / M, 4, H, W).
    """

    def supports(self, v: Tensor, cond: Tensor) -> bool:
        """Whether every value has a density. Any value outside the hole has one."""
        hole, _ = self._read(cond, v.shape[0])
        return bool(v.isfinite().all()) and self.logit.supports(torch.where(hole, v, 0.0))

    def unknown(self, cond: Tensor) -> Tensor:
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


class FilledPixels(KnownPixels):
    """`h = logit(v) - logit(fill)` in the hole, `v - (w_y + 1/2)` outside of it.

    The fill is `harmonic_fill` of the known pixels w_y + 1/2. So h is what the image has beyond a
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


class KnownLuminance(KnownImage):
    """`h = (r + (0.114 / 0.299) b, luminance(v) - g, b)`, r, b = logit v_R, v_B - logit g.

    g = w_y + 1/2 is the grey. luminance(v) = 0.299 v_R + 0.587 v_G + 0.114 v_B, which the grey
    image determines to about a level. The first value of h is, up to sign, scale and second
    order, the green that follows from v_R, v_B and the grey. Colours are mostly warm or cold, so
    this value varies least. A guide scales each value separately, so it could not use this relation
    with plain red and blue. A sampled v_G may leave [0, 256), and is clamped when the image is
    rounded to 8 bits.

    Shapes: v, h (B, 3, H, W); cond y, grey in [0, 256): (B or B / M, 1, H, W).
    """

    def supports(self, v: Tensor, cond: Tensor) -> bool:
        """Whether every value has a density. Any value of green has one."""
        return bool(v.isfinite().all()) and self.logit.supports(v[:, ::2])

    def unknown(self, cond: Tensor) -> Tensor:
        return cond.new_tensor([1.0, 0.0, 1.0]).view(1, 3, 1, 1)

    def near_ends(self, v: Tensor, cond: Tensor) -> Tensor:
        """Which values of red and blue lie near an end of what has a density: (B, 2, H, W)."""
        return self.logit.near_ends(v[:, ::2])

    def _read(self, cond: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        grey = cond.floor() + 0.5
        return per_candidate(grey, batch), per_candidate(self.logit.of(grey), batch)

    def _of_green(self, v: Tensor) -> Tensor:
        """Log-determinant of the map from green to luminance."""
        return volume(zeros_float64(1, v) + math.log(_GREEN), v)

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
