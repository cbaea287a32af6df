"""Guides: nets that predict the mean of every value of the target from the whole condition."""

import itertools
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import FlowConfig
from ..devices import to_layout
from .nets import Conv, Modules, Residual, init_normal, rms_norm
from .norms import group_norm


class Block(nn.Module):
    """`h + conv(ReLU(conv(h)))`, both 3×3; the branch is initialised to be small beside h.

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


class Around(nn.Module):
    """A branch of `Enlarge`: residual blocks at 1/2 and 1/4 of the resolution of h.

    Noise and JPEG artifacts show only over many pixels: JPEG blocks are 8×8 pixels, or 16×16 for
    chroma. Downsampling turns 2×2 cells into channels; upsampling is bilinear, which leaves no
    checkerboard pattern. The last convolution, `head`, is zero-initialised.

    Args:
        width: Channels of h.
        half, quarter: Channels at 1/2 and 1/4.

    Shapes: (B, width, H, W) -> the same, H and W multiples of 4.
    """

    def __init__(self, width: int, half: int, quarter: int) -> None:
        super().__init__()
        self.down = Conv(4 * width, half, 1)
        self.before = nn.Sequential(Block(half))
        self.downer = Conv(4 * half, quarter, 1)
        self.coarse = nn.Sequential(*(Block(quarter) for _ in range(2)))
        self.upper = Conv(quarter, half, 1)
        self.after = nn.Sequential(*(Block(half) for _ in range(2)))
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
    return F.interpolate(h, scale_factor=2.0, mode="bilinear", align_corners=False)


class Enlarge(nn.Module):
    """Residual blocks at 1 / factor of the condition's resolution, then upsampling by doubling.

    An enlarged image has no more information than the small one it was made from. So each factor ×
    factor cell becomes channels, where convolutions reach factor times as far at the same cost.
    The last convolution, `head`, is zero-initialised.

    Args:
        in_channels: Channels of the condition.
        width: Channels at the low resolution; half as many at full resolution.
        blocks: Number of residual blocks.
        factor: How many times the image was enlarged, a power of 2.
        out_channels: Channels of the output, at full resolution.
        coarser: Channels at 1/2 and 1/4 of the low resolution, for a branch `Around` that reads h
            after two blocks, or before the last one; empty: no branch.

    Shapes: (B, in, H, W) -> (B, out, H, W); H and W are multiples of the factor, or, with `Around`,
    of 4 times the factor.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        blocks: int,
        factor: int,
        out_channels: int,
        coarser: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.factor = factor
        self.around = Around(width, *coarser) if coarser else None
        widths = [width] * round(math.log2(factor)) + [max(1, width // 2)]
        self.embed = Conv(factor**2 * in_channels, width, 3)
        self.blocks = Modules[Block](Block(width) for _ in range(blocks))
        self.tail = Conv(width, width, 3)
        self.up = Modules[Conv](Conv(w, 4 * v, 3) for w, v in itertools.pairwise(widths))
        self.head = Conv(widths[-1], out_channels, 3)
        for conv in (self.embed, self.tail, *self.up):
            init_normal(conv, 1.0)
        init_normal(self.head, 0.0)

    def forward(self, x: Tensor) -> Tensor:
        h = near = self.embed(F.pixel_unshuffle(x, self.factor))
        for number, block in enumerate(self.blocks):
            if self.around is not None and number == min(2, len(self.blocks) - 1):
                h = h + self.around(h)
            h = block(h)
        h = near + self.tail(h)
        for up in self.up:
            h = F.pixel_shuffle(up(h, relu=True), 2)
        return self.head(h)  # type: ignore[no-any-return]


class Guide(nn.Module):
    """A guide over the whole condition: down to a few pixels and up again, with additive skips.

    Each width has two residual blocks, one on the way down and one on the way up. The last
    convolution, `head`, is zero-initialised. Blocks and head read `rms_norm` of the residual stream
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
        self.down = Modules[Residual](Residual(w, normed=True) for w in widths)
        self.up = Modules[Residual](Residual(w, normed=True) for w in widths)
        steps = list(itertools.pairwise(widths))
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
            if k:
                h = F.avg_pool2d(h, 2, ceil_mode=True, count_include_pad=False)
                h = self.wider[k - 1](h)
            h = block(h)
            fine.append(h)
        for k in reversed(range(len(self.up))):
            if k < len(fine) - 1:
                h = F.interpolate(self.narrower[k](h), size=fine[k].shape[-2:], mode="nearest")
                h = h + fine[k]
            h = self.up[k](h)
        return F.pixel_shuffle(self.head(rms_norm(h)), 2)


class Double(nn.Module):
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
        return F.relu(x + (h if self.skip is None else self.skip(h)))


class UNet(nn.Module):
    """A guide for colours: down to a few pixels and up again, with concatenated skips.

    It normalises over the image, so each pixel's value is relative to all other pixels. It learns
    colours from several times fewer images than `Guide` does (docs/experiments.md). The last
    convolution, `head`, is zero-initialised.

    Args:
        in_channels: Channels of the condition.
        widths: At half the condition's resolution, at a quarter, and so on.
        out_channels: Channels of the output, at full resolution.

    Shapes: (B, in, H, W) -> (B, out, H, W), H and W multiples of 2^len(widths).
    """

    def __init__(self, in_channels: int, widths: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.embed = Conv(4 * in_channels, widths[0], 3)
        steps = list(itertools.pairwise([widths[0], *widths]))
        self.down = Modules[Double](Double(fine, width) for fine, width in steps)
        self.up = Modules[Double](
            Double(fine + coarse, fine) for fine, coarse in itertools.pairwise(widths)
        )
        self.head = Conv(widths[0], 4 * out_channels, 3)
        for conv in self.modules():
            if isinstance(conv, Conv):
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
                nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(F.pixel_unshuffle(x, 2))
        fine: list[Tensor] = []
        for block in self.down:
            h = block(F.max_pool2d(h, 2) if fine else h)
            fine.append(h)
        fine.pop()
        for block in reversed(self.up):
            side = fine.pop()
            h = block(torch.cat([F.interpolate(h, scale_factor=2), side], dim=1))
        return F.pixel_shuffle(self.head(h), 2)


class Spread(nn.Module):
    """Predicts raw log-scales of every value, from the condition and the predicted image.

    The residual of a prediction is small in flat regions, and large at edges and in hair. Scaled
    by this net, the flow's inputs have a similar magnitude everywhere. It has three 3×3
    convolutions at half the resolution, with ReLUs; the last, `head`, is zero-initialised.

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


GuideNet = Enlarge | Guide | UNet


def build_guide(flow: FlowConfig) -> GuideNet | None:
    """Build the guide of a config, which predicts the mean of every value; None if it has none."""
    if not flow.guides:
        return None
    channels, out = flow.cond_channels, flow.target_channels
    if flow.guide_net == "enlarge":
        width, *coarser = flow.guides
        return Enlarge(channels, width, flow.guide_blocks, flow.guide_factor, out, coarser)
    return (UNet if flow.guide_net == "unet" else Guide)(channels, flow.guides, out)


def build_spread(flow: FlowConfig) -> Spread | None:
    """Build the net of a config that predicts the scale of the residual; None if it has none."""
    return Spread(flow.r_channels, flow.spread, flow.target_channels) if flow.spread else None


def mean_of_views(net: Callable[[Tensor], Tensor], x: Tensor, views: int) -> Tensor:
    """`1/V Σ_v v⁻¹(net(v(x)))` over the first V of an image's eight orientations v.

    This is geometric self-ensembling (Timofte et al., "Seven ways to improve example-based single
    image super resolution", 2016). The orientations are the image, flipped horizontally,
    vertically, both, and the transposes of these four. Errors of the net differ between them, so
    the mean has smaller ones. With V = 8 the result is equivariant, whatever the net learned.

    Args:
        net: (B, in, H, W) -> (B, out, H, W).
        x: (B, in, H, W).
        views: V, 1, 2, 4 or 8. They run one after the other, so only time grows, not memory.
    """
    total = net(x)
    for view in range(1, views):
        axes = [axis for bit, axis in ((1, -1), (2, -2)) if view & bit]  # axes to flip
        turned = (x.transpose(-2, -1) if view & 4 else x).flip(axes)
        back = net(to_layout(turned)).flip(axes)
        total = total + (back.transpose(-2, -1) if view & 4 else back)
    return to_layout(total / views) if views > 1 else total
