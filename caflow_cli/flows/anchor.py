"""From pixels to the real line, where the condition tells some of what they are outright."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..devices import wide_zeros
from ..layers import Guide, UNet
from ..layers.terms import affine, affine_inverse, per_candidate, sum_per_image, volume
from .dequantize import Logit

__all__ = ["Anchor", "Anchored", "KnownLuminance", "KnownPixels"]

_RED, _GREEN, _BLUE = 0.299, 0.587, 0.114  # Rec. 601, as Pillow's `convert("L")` weighs them
_HOLE = 128  # a mask's values from here up are the hole


class KnownPixels(nn.Module):
    """`h = logit(v)` in the hole, `v - (w_y + 1/2)` outside of it.

    Shapes: v, h (B, 3, H, W); cond y, RGB and mask in [0, 256): (B or B / M, 4, H, W).
    """

    def __init__(self, logit: Logit) -> None:
        super().__init__()
        self.logit = logit

    def supports(self, v: Tensor, cond: Tensor) -> bool:
        """Whether every value has a density: outside of the hole any has."""
        hole, _ = self._read(cond, v.shape[0])
        return _finite(v) and self.logit.supports(torch.where(hole, v, 0.0))

    def _read(self, cond: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        hole, known = cond[:, 3:] >= _HOLE, cond[:, :3].floor() + 0.5
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


class KnownLuminance(nn.Module):
    """`h = (r + (0.114 / 0.299) b, luminance(v) - g, b)`, r, b = logit v_R, v_B - logit g.

    g = w_y + 1/2, and luminance(v) = 0.299 v_R + 0.587 v_G + 0.114 v_B, which the grey picture
    tells to about a level. The first is the green that v_R and v_B leave, but for its sign, scale
    and second order: of the colours, which are mostly warm or cold, it varies least, and a guide,
    which takes every value for itself, would not see that in red and blue. A sampled v_G may leave
    [0, 256), and is clamped with 8 bits.

    Shapes: v, h (B, 3, H, W); cond y, grey in [0, 256): (B or B / M, 1, H, W).
    """

    def __init__(self, logit: Logit) -> None:
        super().__init__()
        self.logit = logit

    def supports(self, v: Tensor, cond: Tensor) -> bool:
        """Whether every value has a density: of green any has."""
        return _finite(v) and self.logit.supports(v[:, ::2])

    def _read(self, cond: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        grey = cond.floor() + 0.5
        return per_candidate(grey, batch), per_candidate(self.logit.of(grey), batch)

    def _of_green(self, v: Tensor) -> Tensor:
        """Log-determinant of green to luminance."""
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


_KNOWN = {"pixels": KnownPixels, "luminance": KnownLuminance}


def _finite(v: Tensor) -> bool:
    return bool(v.isfinite().all())


class Anchored(NamedTuple):
    """What an `Anchor` reads in a condition, once an image."""

    y: Tensor | None  # (B, C, H, W), floats in [0, 256); kept where the map reads it
    net: Tensor | None  # (raw, b) of every value, by the guide


class Anchor(nn.Module):
    """Pixels to the real line and back: by a logit, or with what y tells of them near 0.

    A picture outside its hole, and a third of one whose grey version is given, are told by y to
    within a level. A flow of the pixels themselves spends most of its capacity on copying that.

    With a guide an affine injector follows, `exp(s) h + b`, whose s and b one net reads in all of
    y: what is likely from afar, before T takes the picture apart.

    Args:
        kind: "none", "pixels" (`KnownPixels`) or "luminance" (`KnownLuminance`).
        logit: Of pixels.
        guide: The net, or None.
        bound: Of s.

    Shapes: v, h (B, C, H, W); cond is what `read` made of y. "none" without a guide needs none.
    """

    def __init__(self, kind: str, logit: Logit, guide: Guide | UNet | None, bound: float) -> None:
        super().__init__()
        self.map: Any = _KNOWN[kind](logit) if kind in _KNOWN else logit
        self.reads_y = kind in _KNOWN
        self.guide = guide
        self.bound = bound

    def read(self, y: Tensor, h: Tensor) -> Anchored:
        """What is used of y; h is its logit."""
        return Anchored(y if self.reads_y else None, None if self.guide is None else self.guide(h))

    def supports(self, v: Tensor, cond: Anchored | None = None) -> bool:
        """Whether every value has a density."""
        return bool(self.map.supports(v, self._told(cond)[0]))

    def _told(self, cond: Anchored | None) -> tuple[Tensor | None, Tensor | None]:
        assert cond is not None or not (self.reads_y or self.guide), "it needs its condition"
        return (None, None) if cond is None else (cond.y, cond.net)

    def forward(self, v: Tensor, cond: Anchored | None = None) -> tuple[Tensor, Tensor]:
        y, net = self._told(cond)
        h, logdet = self.map(v, y)
        if net is None:
            return h, logdet
        h, term = affine(h, net, self.bound)
        return h, logdet + term

    def inverse(self, h: Tensor, cond: Anchored | None = None) -> tuple[Tensor, Tensor]:
        y, net = self._told(cond)
        if net is None:
            return self.map.inverse(h, y)  # type: ignore[no-any-return]
        h, term = affine_inverse(h, net, self.bound)
        v, logdet = self.map.inverse(h, y)
        return v, logdet + term
