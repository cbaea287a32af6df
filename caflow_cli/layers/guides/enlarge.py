"""A guide for enlarging, at the resolution that the image had (EDSR, Lim et al. 2017)."""

from __future__ import annotations

import itertools
import math

import torch.nn.functional as F
from torch import Tensor, nn

from ..nets import Conv, Modules, init_normal

__all__ = ["Enlarge"]


class Block(nn.Module):
    """`h + conv(ReLU(conv(h)))`, 3×3 both; the branch starts small beside h.

    Shapes: (B, width, H, W) -> the same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Conv(width, width, 3)
        self.second = Conv(width, width, 3)
        init_normal(self.first, 2**0.5)
        init_normal(self.second, 0.1)

    def forward(self, h: Tensor) -> Tensor:
        out: Tensor = h + self.second(self.first(h, relu=True))
        return out


class Enlarge(nn.Module):
    """Residual blocks at 1 / factor of the condition's resolution, then doubled until at full.

    An enlarged image holds no more than the small one that it was made from. So each factor ×
    factor cell becomes channels, and convolutions there reach factor times as far for the same
    work. The last convolution, `head`, is zero-initialised.

    Args:
        in_channels: Of the condition.
        width: Channels at the low resolution; half as many at the full one.
        blocks: How many.
        factor: How many times the image was enlarged, a power of 2.
        out_channels: Of the output, at full resolution.

    Shapes: (B, in, H, W) -> (B, out, H, W), H and W multiples of the factor.
    """

    def __init__(
        self, in_channels: int, width: int, blocks: int, factor: int, out_channels: int
    ) -> None:
        super().__init__()
        self.factor = factor
        doublings = round(math.log2(factor))
        widths = [width] * doublings + [max(1, width // 2)]
        self.embed = Conv(factor**2 * in_channels, width, 3)
        self.blocks = Modules[Block](Block(width) for _ in range(blocks))
        self.tail = Conv(width, width, 3)
        self.up = Modules[Conv](Conv(w, 4 * v, 3) for w, v in itertools.pairwise(widths))
        self.head = Conv(widths[-1], out_channels, 3)
        for conv in (self.embed, self.tail, *self.up):
            init_normal(conv, 1.0)
        init_normal(self.head, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        h = near = self.embed(F.pixel_unshuffle(x, self.factor))
        for block in self.blocks:
            h = block(h)
        h = near + self.tail(h)
        for up in self.up:
            h = F.pixel_shuffle(up(h, relu=True), 2)
        out: Tensor = self.head(h)
        return out
