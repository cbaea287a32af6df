"""The net that predicts how large the residual of a prediction is."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import Conv
from ..layers.nets import init_normal


class ScaleNet(nn.Module):
    """Predicts raw log-scales of every value, from the condition and the predicted image.

    The residual of a prediction is small in flat regions, and large at edges and in hair. Scaled
    by this net, the flow's inputs have a similar magnitude everywhere. It has three 3×3
    convolutions at half the resolution, with ReLUs; the last, `head`, is zero-initialized.

    Args:
        in_channels: Channels of the input, condition and predicted image together.
        width: Channels of the hidden layers.
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
