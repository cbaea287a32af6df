"""Maps from pixels to the real line, for conditions that determine part of the target.

`width` is that of a bin: 1 for 8 bits, 1/256 for 16. Known values are measured in bins, so that
one costs the same nats at both depths: their residual is `(v - g) / width`, with the center g of
the bin, and log-determinants leave this division out.
"""

import torch
from torch import Tensor

from ..config import HOLE
from ..devices import to_float64
from ..layers import WithLogdet, center, per_candidate, scaling, sum_per_image
from .fill import harmonic_fill
from .logit import Logit

# Rec. 601 luma, as in Pillow's `convert("L")`.
_RED = 0.299
_GREEN = 0.587
_BLUE = 0.114


class KnownImage(Logit):
    """`h = logit(v) - logit(g)`: the residual of the image to its enlarged version, whose bins have
    the centers g.

    Shapes: v, h (B, C, H, W); cond y in [0, 256): (B or B / M, C, H, W).
    """

    def _level(self, cond: Tensor, width: float, batch: int) -> Tensor:
        level = self.of(center(cond, width))
        return per_candidate(level, batch)

    def forward(self, v: Tensor, cond: Tensor, width: float = 1) -> WithLogdet:  # type: ignore[override]
        h, logdet = super().forward(v)
        level = self._level(cond, width, v.shape[0])
        return h - level, logdet

    def inverse(self, h: Tensor, cond: Tensor, width: float = 1) -> WithLogdet:  # type: ignore[override]
        level = self._level(cond, width, h.shape[0])
        return super().inverse(h + level)


class KnownPixels(Logit):
    """`h = logit(v)` in the hole; `h = (v - g) / width` outside, where v may be any real number.

    Shapes: v, h (B, 3, H, W); cond y, RGB and mask in [0, 256): (B or B / M, 4, H, W).
    """

    def unknown(self, cond: Tensor, batch: int) -> Tensor:
        return per_candidate(cond[:, 3:] >= HOLE, batch)

    def _origin(self, image: Tensor) -> Tensor:
        """What is subtracted in the hole, of the RGB values of y."""
        return torch.zeros_like(image)

    def _read(self, cond: Tensor, width: float, batch: int) -> tuple[Tensor, Tensor]:
        """The hole, and the level that is subtracted from every value."""
        hole = cond[:, 3:] >= HOLE
        image = cond[:, :3]
        level = torch.where(hole, self._origin(image), center(image, width))
        return per_candidate(hole, batch), per_candidate(level, batch)

    def _logdet_in(self, hole: Tensor, h: Tensor) -> Tensor:
        """The log-determinant: known values are only moved, and measured in bins."""
        inside = torch.where(hole, self.log_derivative(h), 0.0)
        return sum_per_image(inside)

    def forward(self, v: Tensor, cond: Tensor, width: float = 1) -> WithLogdet:  # type: ignore[override]
        hole, level = self._read(cond, width, v.shape[0])
        h = self.of(v)
        logdet = self._logdet_in(hole, h)
        return torch.where(hole, h - level, (v - level) / width), logdet

    def inverse(self, h: Tensor, cond: Tensor, width: float = 1) -> WithLogdet:  # type: ignore[override]
        hole, level = self._read(cond, width, h.shape[0])
        h = torch.where(hole, h, h * width) + level
        logdet = -self._logdet_in(hole, h)
        return torch.where(hole, self.back(h), h), logdet


class FilledPixels(KnownPixels):
    """`h = logit(v) - logit(fill)` in the hole; `h = (v - g) / width` outside.

    The fill is `harmonic_fill` of the centers g of known pixels, so h is the residual of the image
    to a smooth continuation of its surroundings.

    Shapes: v, h (B, 3, H, W); cond, the result of `complete` for y: (B or B / M, 4, H, W).
    """

    def complete(self, cond: Tensor, width: float = 1) -> Tensor:
        """Replace the RGB values of y by the fill, in the hole; y is RGB and mask in [0, 256)."""
        hole = cond[:, 3:] >= HOLE
        image = cond[:, :3]
        fill = self.nearest(harmonic_fill(center(image, width), hole))
        filled = torch.where(hole, fill, image)
        return torch.cat([filled, cond[:, 3:]], dim=1)

    def _origin(self, image: Tensor) -> Tensor:
        return self.of(image)


class KnownLuminance(Logit):
    """`h = (r + (0.114 / 0.299) b, (luminance(v) - g) / width, b)`.

    r, b = logit v_R, v_B - logit g. g is the center of the gray's bin, and luminance(v) =
    0.299 v_R + 0.587 v_G + 0.114 v_B, which the gray image determines to about a bin. The first
    value of h is, up to sign, scale and second-order terms, the green that follows from v_R, v_B
    and the gray. Colors are mostly warm or cold, so this value varies least. The spread scales each
    value separately, so it could not exploit this with plain red and blue. A sampled v_G may lie
    outside [0, 256); it is clamped when the image is rounded.

    Shapes: v, h (B, 3, H, W); cond y, gray in [0, 256): (B or B / M, 1, H, W).
    """

    def unknown(self, cond: Tensor, batch: int) -> Tensor:
        everywhere = cond == cond
        red_and_blue = torch.cat([everywhere, ~everywhere, everywhere], dim=1)
        return per_candidate(red_and_blue, batch)

    def _read(self, cond: Tensor, width: float, batch: int) -> tuple[Tensor, Tensor]:
        gray = center(cond, width)
        level = self.of(gray)
        return per_candidate(gray, batch), per_candidate(level, batch)

    def forward(self, v: Tensor, cond: Tensor, width: float = 1) -> WithLogdet:  # type: ignore[override]
        gray, level = self._read(cond, width, v.shape[0])
        red, green, blue = v.split(1, dim=1)
        others = torch.cat([red, blue], dim=1)
        others, logdet = super().forward(others)
        # In float64: at 16 bits, a rounding of float32 at 256 is some hundredths of a bin.
        wide = [to_float64(part) for part in (red, green, blue, gray)]
        exact = _RED * wide[0] + _GREEN * wide[1] + _BLUE * wide[2] - wide[3]
        rest = (exact / width).to(v)
        r, b = (others - level).split(1, dim=1)
        first = r + _BLUE / _RED * b
        h = torch.cat([first, rest, b], dim=1)
        return h, logdet + scaling(_GREEN, 1, v)

    def inverse(self, h: Tensor, cond: Tensor, width: float = 1) -> WithLogdet:  # type: ignore[override]
        gray, level = self._read(cond, width, h.shape[0])
        first, rest, b = h.split(1, dim=1)
        r = first - _BLUE / _RED * b
        others = torch.cat([r, b], dim=1)
        others, logdet = super().inverse(others + level)
        red, blue = others.split(1, dim=1)
        green = (width * rest + gray - _RED * red - _BLUE * blue) / _GREEN
        v = torch.cat([red, green, blue], dim=1)
        return v, logdet - scaling(_GREEN, 1, h)
