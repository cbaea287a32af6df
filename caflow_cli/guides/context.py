"""A branch with a larger receptive field, for `Enlarge`."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..layers import Conv
from ..layers.nets import init_normal


class PlainResBlock(nn.Module):
    """`h + conv(ReLU(conv(h)))`, both 3×3; the branch is initialized to be small beside h.

    Shapes: (B, width, H, W) -> the same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = Conv(width, width, 3)
        self.second = Conv(width, width, 3)
        init_normal(self.first, 2**0.5)
        init_normal(self.second, 0.1)

    def forward(self, h: Tensor) -> Tensor:
        return h + self.second(self.first(h, relu=True))  # type: ignore[no-any-return]


class ContextBranch(nn.Module):
    """A branch of `Enlarge`: residual blocks at 1/2 and 1/4 of the resolution of h.

    Noise and JPEG artifacts show only over many pixels: JPEG blocks are 8×8 pixels, or 16×16 for
    chroma. Downsampling turns 2×2 cells into channels; upsampling is bilinear, which leaves no
    checkerboard pattern. The last convolution, `head`, is zero-initialized.

    Args:
        width: Channels of h.
        half, quarter: Channels at 1/2 and 1/4.

    Shapes: (B, width, H, W) -> the same, H and W multiples of 4.
    """

    def __init__(self, width: int, half: int, quarter: int) -> None:
        super().__init__()
        self.down = Conv(4 * width, half, 1)
        self.before = nn.Sequential(PlainResBlock(half))
        self.downer = Conv(4 * half, quarter, 1)
        self.coarse = nn.Sequential(*(PlainResBlock(quarter) for _ in range(2)))
        self.upper = Conv(quarter, half, 1)
        self.after = nn.Sequential(*(PlainResBlock(half) for _ in range(2)))
        self.head = Conv(half, width, 1)
        for conv in (self.down, self.downer, self.upper):
            init_normal(conv, 1.0)
        init_normal(self.head, 0.0)

    def forward(self, h: Tensor) -> Tensor:
        h = self.before(self.down(F.pixel_unshuffle(h, 2)))
        far = self.coarse(self.downer(F.pixel_unshuffle(h, 2)))
        h = self.after(h + _doubled(self.upper(far)))
        return _doubled(self.head(h))


def _doubled(h: Tensor) -> Tensor:
    return F.interpolate(h, scale_factor=2.0, mode="bilinear")
