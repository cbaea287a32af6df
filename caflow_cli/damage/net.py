"""The network that finds damage: a U-Net at full resolution and below."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from ..guides.context import PlainResBlock
from ..layers import Conv, Modules

MULTIPLE = 16  # of the sides of what the net reads
_FINE = (1, 3)  # radii of top hats at full resolution
_BROAD = (3, 7)  # and at half the resolution
_READ_FINE = 3 + 2 * len(_FINE)  # channels of its input at full resolution
_READ_BROAD = 2 * len(_BROAD) + 3 + 3 + 2  # and at half


class DamageNet(nn.Module):
    """Predict a logit of damage for each pixel of an image.

    In addition to the image, the network reads its top-hat transforms: what is lighter or darker
    than its surroundings and thinner than 3 or 7 pixels (7 and 15 at half the resolution). They
    contain damage, but also twigs, wires and eyelashes, which the network learns to distinguish.

    Args:
        widths: Channels at 1, 1/2, 1/4, … of the resolution.
        depths: Residual blocks there on the way down; on the way up there is one each.

    Shapes: (B, 3, H, W) in [-1, 1] -> logits (B, 1, H, W); H and W are multiples of 16.
    """

    def __init__(
        self,
        widths: Sequence[int] = (12, 32, 64, 96, 96),
        depths: Sequence[int] = (1, 1, 1, 1, 2),
    ) -> None:
        super().__init__()
        steps = list(pairwise(widths))
        self.embed = Conv(_READ_FINE, widths[0], 3)
        self.broad = Conv(_READ_BROAD, widths[1], 3)
        self.before = Modules[Modules[PlainResBlock]](
            Modules[PlainResBlock](PlainResBlock(width) for _ in range(depth))
            for width, depth in zip(widths, depths, strict=True)
        )
        self.down = nn.ModuleList(Conv(4 * fine, coarse, 1) for fine, coarse in steps)
        self.up = nn.ModuleList(Conv(coarse, fine, 1) for fine, coarse in steps)
        self.after = Modules[PlainResBlock](PlainResBlock(width) for width in widths[:-1])
        self.head = Conv(widths[0], 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        fine, broad = _features(x)
        h = self.embed(fine)
        finer = []
        for level, blocks in enumerate(self.before):
            if level > 0:
                finer.append(h)
                h = self.down[level - 1](F.pixel_unshuffle(h, 2))
            if level == 1:
                h.add_(self.broad(broad))
            for block in blocks:
                h = F.relu_(block(h))
        for block, up in zip(reversed(self.after), reversed(self.up), strict=True):
            h = finer.pop().add_(F.interpolate(up(h), scale_factor=2.0))
            h = F.relu_(block(h))
        logits: Tensor = self.head(h)
        return logits


def _features(x: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the input: (B, 3, H, W) -> (B, 7, H, W) and (B, 12, H/2, W/2)."""
    fine = _hats(x.mean(1, keepdim=True), _FINE)
    half = F.avg_pool2d(x, 2)
    half_gray = half.mean(1, keepdim=True)
    chroma = half - half_gray
    parts = [
        4 * _hats(half_gray, _BROAD),
        4 * (chroma - _around(chroma)),
        2 * (half - _around(half)),
        8 * _around(F.avg_pool2d(fine.mean(1, keepdim=True), 2)),
        torch.ones_like(half_gray),
    ]
    return torch.cat([x, 4 * fine], 1), torch.cat(parts, 1)


def _hats(gray: Tensor, radii: Sequence[int]) -> Tensor:
    """White and black top-hat transforms for each radius: (B, 1, H, W) -> (B, 2 n, H, W)."""
    levels = ((gray[:, 0] + 1) * 127.5).round().byte().numpy()
    hats = []
    for radius in radii:
        side = 2 * radius + 1
        hats.append(ndimage.white_tophat(levels, (1, side, side)))
        hats.append(ndimage.black_tophat(levels, (1, side, side)))
    return torch.from_numpy(np.stack(hats, 1)) / 127.5


def _around(x: Tensor) -> Tensor:
    """A smooth local mean over some 8 pixels."""
    return F.interpolate(F.avg_pool2d(x, 8), scale_factor=8.0, mode="bilinear")
