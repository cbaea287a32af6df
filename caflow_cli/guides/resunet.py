"""A guide for holes: a residual U-Net without normalization."""

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import FlowConfig
from ..layers import Conv, Modules
from ..layers.nets import init_normal
from .context import PlainResBlock

_BLOCKS = 2  # at the finest and the coarsest resolution; at all others there is one


class ResUNet(nn.Module):
    """A guide for holes: down to a few pixels and up again, with skips that are added.

    It does not normalize, so a pixel's value depends only on its receptive field, and tiles need no
    moments. Downsampling turns 2×2 cells into channels; upsampling is bilinear. The last
    convolution, `head`, is zero-initialized.

    Args:
        in_channels: Channels of the condition.
        widths: At half the condition's resolution, at a quarter, and so on.
        out_channels: Channels of the output, at full resolution.

    Shapes: (B, in, H, W) -> (B, out, H, W), H and W multiples of 2^len(widths).
    """

    def __init__(self, in_channels: int, widths: Sequence[int], out_channels: int) -> None:
        super().__init__()
        counts = [_BLOCKS, *[1] * (len(widths) - 2), _BLOCKS][: len(widths)]
        self.embed = Conv(4 * in_channels, widths[0], 3)
        self.before = Modules[nn.Sequential](map(_blocks, widths, counts))
        self.down = Modules[Conv](Conv(4 * a, b, 1) for a, b in itertools.pairwise(widths))
        self.up = Modules[Conv](Conv(b, a, 1) for a, b in itertools.pairwise(widths))
        self.after = Modules[nn.Sequential](map(_blocks, widths[:-1], counts[:-1]))
        self.head = Conv(widths[0], 4 * out_channels, 3)
        for conv in (self.embed, *self.down, *self.up):
            init_normal(conv, 1.0)
        init_normal(self.head, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(F.pixel_unshuffle(x, 2))
        *finer, coarsest = self.before
        skips: list[Tensor] = []
        for blocks, down in zip(finer, self.down, strict=True):
            skips.append(blocks(h))
            h = down(F.pixel_unshuffle(skips[-1], 2))
        h = coarsest(h)
        for blocks, up in zip(reversed(self.after), reversed(self.up), strict=True):
            h = blocks(skips.pop() + F.interpolate(up(h), scale_factor=2.0, mode="bilinear"))
        return F.pixel_shuffle(self.head(h), 2)


def _blocks(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(PlainResBlock(width) for _ in range(count)))


def build(flow: FlowConfig) -> ResUNet:
    return ResUNet(flow.cond_channels, flow.guides, flow.target_channels)
