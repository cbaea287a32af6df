"""A guide that enlarges the small image, at the small image's size."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import Conv, Modules
from ..layers.nets import init_normal
from .context import ContextBranch, PlainResBlock


class ResidualSR(nn.Module):
    """Residual blocks at the small image's size, and one pixel shuffle: EDSR in small.

        h = embed(x),  h = h + tail(blocks(h)),  bicubic(x) + shuffle(head(h))

    All convolutions are 3×3 and work at the small size. The blocks have no normalization (Lim et
    al., "Enhanced deep residual networks for single image super-resolution", 2017). The last
    convolution, `head`, is zero-initialized, so training starts from the bicubic image.

    Args:
        channels: Channels of the images.
        width: Channels of the hidden layers.
        blocks: Number of residual blocks.
        factor: How many times the image is enlarged.
        coarser: Channels at 1/2 and 1/4 of the small size, for a `ContextBranch` that reads h after
            two blocks, or before the last one; empty: no branch.

    Shapes: (B, channels, H, W) -> (B, channels, factor H, factor W), both with white at 1. H and W
    are multiples of 4 if there is a `ContextBranch`. The output may exceed [0, 1].
    """

    def __init__(
        self, channels: int, width: int, blocks: int, factor: int, coarser: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.factor = factor
        self.context = ContextBranch(width, *coarser) if coarser else None
        self.embed = Conv(channels, width, 3)
        self.blocks = Modules[PlainResBlock](PlainResBlock(width) for _ in range(blocks))
        self.tail = Conv(width, width, 3)
        self.head = Conv(width, factor**2 * channels, 3)
        for conv in (self.embed, self.tail):
            init_normal(conv, 1.0)
        init_normal(self.head, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        near = self.embed(x)
        h = near
        for number, block in enumerate(self.blocks):
            if self.context is not None and number == min(2, len(self.blocks) - 1):
                h = h + self.context(h)
            h = block(h)
        residual = F.pixel_shuffle(self.head(near + self.tail(h)), self.factor)
        base = F.interpolate(x, scale_factor=float(self.factor), mode="bicubic")
        return base + residual.to(base.dtype)
