"""A guide with normalization over the image, for colors."""

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import FlowConfig
from ..layers import Conv, Modules
from ..layers.norms import group_norm


class ResBlock(nn.Module):
    """`ReLU(norm(conv(ReLU(norm(conv(h))))) + skip(h))`, 3×3; the skip is 1×1 if widths differ.

    Shapes: (B, in_channels, H, W) -> (B, width, H, W).
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.first = Conv(in_channels, width, 3)
        self.second = Conv(width, width, 3)
        self.skip = Conv(in_channels, width, 1) if in_channels != width else None

    def forward(self, h: Tensor) -> Tensor:
        x = F.relu(group_norm(self.first(h), self.training))
        x = group_norm(self.second(x), self.training)
        if self.skip is not None:
            h = self.skip(h)
        return F.relu(x + h)


class UNet(nn.Module):
    """A guide for colors: down to a few pixels and up again, with concatenated skips.

    It normalizes over the image, so each pixel's value is relative to all other pixels. The last
    convolution, `head`, is zero-initialized.

    Args:
        in_channels: Channels of the condition.
        widths: At half the condition's resolution, at a quarter, and so on.
        out_channels: Channels of the output, at full resolution.

    Shapes: (B, in, H, W) -> (B, out, H, W), H and W multiples of 2^len(widths).
    """

    def __init__(self, in_channels: int, widths: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.embed = Conv(4 * in_channels, widths[0], 3)
        self.down = Modules[ResBlock](
            ResBlock(fine, coarse) for fine, coarse in itertools.pairwise([widths[0], *widths])
        )
        self.up = Modules[ResBlock](
            ResBlock(fine + coarse, fine) for fine, coarse in itertools.pairwise(widths)
        )
        self.head = Conv(widths[0], 4 * out_channels, 3)
        for conv in self.modules():
            if isinstance(conv, Conv):
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(F.pixel_unshuffle(x, 2))
        fine: list[Tensor] = []
        for block in self.down:
            if fine:
                h = F.max_pool2d(h, 2)
            h = block(h)
            fine.append(h)
        fine.pop()
        for block in reversed(self.up):
            skip = fine.pop()
            h = F.interpolate(h, scale_factor=2)
            h = block(torch.cat([h, skip], dim=1))
        return F.pixel_shuffle(self.head(h), 2)


def build(flow: FlowConfig) -> UNet:
    return UNet(flow.cond_channels, flow.guides, flow.target_channels)
