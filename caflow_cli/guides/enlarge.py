"""A guide for enlarged images, and its blocks: residual networks without normalization."""

import itertools
import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import FlowConfig
from ..layers import Conv, Modules
from ..layers.nets import init_normal
from .context import ContextBranch, PlainResBlock


class Enlarge(nn.Module):
    """Residual blocks at 1 / factor of the condition's resolution, then upsampling by doubling.

    An enlarged image has no more information than the small one it was made from. So each factor ×
    factor cell becomes channels, where convolutions reach factor times as far at the same cost.
    The last convolution, `head`, is zero-initialized.

    Args:
        in_channels: Channels of the condition.
        width: Channels at the low resolution; half as many at full resolution.
        blocks: Number of residual blocks.
        factor: How many times the image was enlarged, a power of 2.
        out_channels: Channels of the output, at full resolution.
        coarser: Channels at 1/2 and 1/4 of the low resolution, for a `ContextBranch` that reads h
            after two blocks, or before the last one; empty: no branch.

    Shapes: (B, in, H, W) -> (B, out, H, W); H and W are multiples of the factor, or, with a
    `ContextBranch`, of 4 times the factor.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        blocks: int,
        factor: int,
        out_channels: int,
        coarser: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.factor = factor
        self.around = ContextBranch(width, *coarser) if coarser else None
        doublings = round(math.log2(factor))
        widths = [width] * doublings + [max(1, width // 2)]
        self.embed = Conv(factor**2 * in_channels, width, 3)
        self.blocks = Modules[PlainResBlock](PlainResBlock(width) for _ in range(blocks))
        self.tail = Conv(width, width, 3)
        self.up = Modules[Conv](
            Conv(coarse, 4 * fine, 3) for coarse, fine in itertools.pairwise(widths)
        )
        self.head = Conv(widths[-1], out_channels, 3)
        for conv in (self.embed, self.tail, *self.up):
            init_normal(conv, 1.0)
        init_normal(self.head, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        near = self.embed(F.pixel_unshuffle(x, self.factor))
        h = near
        for number, block in enumerate(self.blocks):
            if self.around is not None and number == min(2, len(self.blocks) - 1):
                h = h + self.around(h)
            h = block(h)
        h = near + self.tail(h)
        for up in self.up:
            h = F.pixel_shuffle(up(h, relu=True), 2)
        return self.head(h)  # type: ignore[no-any-return]


def build(flow: FlowConfig) -> Enlarge:
    width, *coarser = flow.guides
    blocks = flow.guide_blocks
    factor = flow.guide_factor
    return Enlarge(flow.cond_channels, width, blocks, factor, flow.target_channels, coarser)
