"""A guide for coarse fields of which only differences count: the distribution of every cell."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import FlowConfig
from ..layers import Conv, Modules, bounded
from ..layers.nets import init_normal
from .censored import PARAMETERS
from .context import PlainResBlock

_LEAST = 0.15  # spread, where all is flat: data in whole steps have no finer detail
_CORRECTIONS = 2  # of the enlargement, toward the means of the coarse cells
_SCALE = 0.3  # of residuals at first, by the relief


class Relief(nn.Module):
    """Residual blocks at the size of the coarse field, then a pixel shuffle, as in `Censored`.

    With c the coarse field, s(c) its smooth enlargement, whose means are nearly c, and ρ(c) its
    relief, the standard deviation nearby and a least one, the network reads differences of c
    divided by ρ, and log ρ. The location is s + ρ times what it predicts, so it is equivariant to
    an added constant. The last convolution, `head`, is zero-initialized.

    Args:
        width: Channels of the hidden layers.
        blocks: Number of residual blocks.
        factor: Fine cells per coarse one, in each direction.

    Shapes: a coarse field, (B, 1, h, w) -> location, log-scale, skew and tail of its fine cells,
    (B, 4, factor h, factor w).
    """

    def __init__(self, width: int, blocks: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.embed = Conv(4, width, 3)
        self.blocks = Modules[PlainResBlock](PlainResBlock(width) for _ in range(blocks))
        self.tail = Conv(width, width, 3)
        self.head = Conv(width, PARAMETERS * factor**2, 3)
        for conv in (self.embed, self.tail):
            init_normal(conv, 1.0)
        init_normal(self.head, 0.0)

    def forward(self, small: Tensor) -> Tensor:
        near, nearby = (small - _mean(small, side) for side in (3, 7))
        relief = (_mean(nearby.square(), 5) + _LEAST**2).sqrt()
        log_relief = relief.log()
        around = _mean(log_relief, 7)
        h = embedded = self.embed(
            torch.cat([near / relief, nearby / relief, log_relief / 3, around / 3], dim=1)
        )
        for block in self.blocks:
            h = block(h)
        raw = F.pixel_shuffle(self.head(embedded + self.tail(h)), self.factor).to(small)
        location, log_scale, skew, tail = raw.chunk(PARAMETERS, dim=1)
        rho = F.interpolate(relief, scale_factor=float(self.factor), mode="bilinear")
        spread = _LEAST + _SCALE * rho * torch.exp(bounded(log_scale, 3.0))
        return torch.cat(
            [
                self._smooth(small) + _SCALE * rho * location,
                spread.log(),
                bounded(skew, 2.0),
                bounded(tail, 1.0),
            ],
            dim=1,
        )

    def _smooth(self, small: Tensor) -> Tensor:
        """The bicubic enlargement of the field whose means are nearly those of `small`."""
        corner = small[..., :1, :1]
        small = small - corner  # near 0, for the precision of float32
        aimed = small
        for last in range(_CORRECTIONS, -1, -1):
            smooth = F.interpolate(aimed, scale_factor=float(self.factor), mode="bicubic")
            if last:
                aimed = aimed + small - F.avg_pool2d(smooth, self.factor)
        return smooth + corner


def _mean(x: Tensor, side: int) -> Tensor:
    """The mean over side×side cells around each."""
    margin = side // 2
    return F.avg_pool2d(F.pad(x, (margin,) * 4, mode="replicate"), side, 1)


def build(flow: FlowConfig) -> Relief:
    return Relief(flow.guides[0], flow.guide_blocks, flow.guide_factor)
