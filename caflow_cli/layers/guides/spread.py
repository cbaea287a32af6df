"""How far values lie from a guide's prediction."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ..nets import Conv, init_normal

__all__ = ["Spread"]


class Spread(nn.Module):
    """Raw log-scales of every value, from the condition and the predicted image.

    An image differs from the prediction by little on even ground, and by much at edges and in hair.
    Scaled by this net, the flow's inputs have about one size. Three 3×3 convolutions at half the
    resolution, with ReLUs between them; the last one, `head`, is zero-initialised.

    Args:
        in_channels: Channels of its input, condition and predicted image together.
        width: Channels of its layers.
        out_channels: Channels of the output, at full resolution.

    Shapes: (B, in, H, W) -> (B, out, H, W), H and W even.
    """

    def __init__(self, in_channels: int, width: int, out_channels: int) -> None:
        super().__init__()
        self.first = Conv(4 * in_channels, width, 3)
        self.second = Conv(width, width, 3)
        self.head = Conv(width, 4 * out_channels, 3)
        for conv in (self.first, self.second):
            init_normal(conv, 2**0.5)
        init_normal(self.head, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        h = self.second(self.first(F.pixel_unshuffle(x, 2), relu=True), relu=True)
        return F.pixel_shuffle(self.head(h), 2)
