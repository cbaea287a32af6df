"""A guide that adds its skips."""

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from ..config import FlowConfig
from ..layers import Conv, Modules
from ..layers.nets import Residual, init_normal, rms_norm


class AdditiveUNet(nn.Module):
    """A guide over the whole condition: down to a few pixels and up again, with additive skips.

    Each width has two residual blocks, one on the way down and one on the way up. The last
    convolution, `head`, is zero-initialized. Blocks and head read `rms_norm` of the residual stream
    rather than its ReLU, after which values that turned negative would no longer have a gradient.

    Args:
        in_channels: Channels of the condition.
        widths: At half the condition's resolution, at a quarter, and so on.
        out_channels: Channels of the output, at full resolution.

    Shapes: (B, in, H, W) -> (B, out, H, W), H and W even.
    """

    def __init__(self, in_channels: int, widths: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.embed = Conv(4 * in_channels, widths[0], 3)
        steps = list(itertools.pairwise(widths))
        self.down = Modules[Residual](Residual(w, normed=True) for w in widths)
        self.up = Modules[Residual](Residual(w, normed=True) for w in widths)
        self.wider = Modules[Conv](Conv(fine, coarse, 3) for fine, coarse in steps)
        self.narrower = Modules[Conv](Conv(coarse, fine, 1) for fine, coarse in steps)
        self.head = Conv(widths[0], 4 * out_channels, 3)
        for conv in (self.embed, *self.wider, *self.narrower):
            init_normal(conv, 1.0)
        init_normal(self.head, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(F.pixel_unshuffle(x, 2))
        fine = []
        for k, block in enumerate(self.down):
            if k > 0:
                h = F.avg_pool2d(h, 2, ceil_mode=True, count_include_pad=False)
                h = self.wider[k - 1](h)
            h = block(h)
            fine.append(h)
        h = self.up[-1](h)
        for k in reversed(range(len(fine) - 1)):
            skip = fine[k]
            h = self.narrower[k](h)
            h = F.interpolate(h, size=skip.shape[-2:], mode="nearest")
            h = self.up[k](h + skip)
        return F.pixel_shuffle(self.head(rms_norm(h)), 2)


def build(flow: FlowConfig) -> AdditiveUNet:
    return AdditiveUNet(flow.cond_channels, flow.guides, flow.target_channels)
