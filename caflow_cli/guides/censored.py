"""A guide for coarse fields: the distribution of every cell, dry or wet."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import FlowConfig
from ..layers import Conv, Modules, bounded
from ..layers.nets import init_normal
from .context import PlainResBlock

PARAMETERS = 4  # location, log-scale, skew and tail of a sinh-arcsinh normal
# On the scale of the model, in dB above the threshold of wet cells. A mean of 4×4 cells of which
# one is wet is at least -12.
_LOWEST = -12.0
_DRY = -15.0  # stands for a dry mean in the network's input,
_DRY_EDGE = -5.0  # and in the interpolation, where lower values would spread into wet cells
_UNIT = 10.0
_SCALE = 3.0  # of residuals, at first


class Censored(nn.Module):
    """Residual blocks at the size of the coarse field, then a pixel shuffle, as in `Enlarge`.

    Products differ in how smooth they are below the coarse cells, which shows in a whole field
    better than in a part of it. So between the blocks it adds features of the mean over all wet
    cells. The last convolution, `head`, is zero-initialized: the location is the bicubic field.

    Args:
        width: Channels of the hidden layers.
        blocks: Number of residual blocks.
        factor: Fine cells per coarse one, in each direction.

    Shapes: a coarse field, -inf where it is dry, (B, 1, h, w) -> location, log-scale, skew and tail
    of its fine cells, (B, 4, factor h, factor w).
    """

    def __init__(self, width: int, blocks: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.embed = Conv(3, width, 3)
        self.blocks = Modules[PlainResBlock](PlainResBlock(width) for _ in range(blocks))
        self.around = nn.Sequential(Conv(width, width, 1), nn.ReLU(), Conv(width, width, 1))
        self.tail = Conv(width, width, 3)
        self.head = Conv(width, PARAMETERS * factor**2, 3)
        for conv in (self.embed, self.tail):
            init_normal(conv, 1.0)
        init_normal(self.head, 0.0)

    def forward(self, small: Tensor) -> Tensor:
        dry = small.isneginf()
        wet = (~dry).to(small)
        level = small.clamp_min(_LOWEST).masked_fill(dry, _DRY)
        nearby = F.avg_pool2d(F.pad(level, (2, 2, 2, 2), mode="replicate"), 5, 1)
        near = self.embed(torch.cat([level / _UNIT, 2 * (level - nearby) / _UNIT, 1 - wet], dim=1))
        h = near
        for number, block in enumerate(self.blocks):
            if number == len(self.blocks) // 2:
                mean = (h.relu() * wet).sum((2, 3), keepdim=True)
                h = h + self.around(mean / wet.sum((2, 3), keepdim=True).clamp_min(1))
            h = block(h)
        raw = F.pixel_shuffle(self.head(near + self.tail(h)), self.factor).to(small)
        location, log_scale, skew, tail = raw.chunk(PARAMETERS, dim=1)
        edge = small.masked_fill(dry, _DRY_EDGE).clamp_min(_DRY_EDGE)
        smooth = F.interpolate(edge, scale_factor=float(self.factor), mode="bicubic")
        return torch.cat(
            [
                smooth + _SCALE * location,
                math.log(_SCALE) + bounded(log_scale, 3.0),
                bounded(skew, 2.0),
                bounded(tail, 1.0),
            ],
            dim=1,
        )


def build(flow: FlowConfig) -> Censored:
    return Censored(flow.guides[0], flow.guide_blocks, flow.guide_factor)
