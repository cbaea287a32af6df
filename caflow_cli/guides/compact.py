"""A guide that enlarges the small image, at the small image's size."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import FlowConfig
from ..layers import Conv

_SLOPE = 0.25  # of a PReLU for negative values, at the start


class PReLU(nn.PReLU):
    """`max(0, h) + a min(0, h)`, with one a per channel, in the dtype of h."""

    def forward(self, h: Tensor) -> Tensor:
        return F.prelu(h, self.weight.to(h.dtype))


class Compact(nn.Module):
    """Alternating 3×3 convolutions and PReLUs at the small image's size, and one pixel shuffle.

        nearest(x) + shuffle(body(x))

    This is SRVGGNetCompact of Real-ESRGAN (Wang et al., 2021), with its tensor names, so programs
    that run that architecture can run an exported guide. Between layers of equal width, weights
    start as a fifth of He's plus the identity, which is a skip over each convolution merged into
    it: from He's alone the network learns far more slowly. The last convolution starts at zero.

    Args:
        channels: Channels of the images.
        width: Channels of the hidden layers.
        convs: Number of convolutions between the first and the last.
        factor: How many times the image is enlarged.

    Shapes: (B, channels, H, W) -> (B, channels, factor H, factor W), both with white at 1. The
    output may exceed [0, 1].
    """

    def __init__(self, channels: int, width: int, convs: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        layers: list[nn.Module] = [Conv(channels, width, 3), PReLU(width, _SLOPE)]
        for _ in range(convs):
            layers += [Conv(width, width, 3), PReLU(width, _SLOPE)]
        self.body = nn.ModuleList([*layers, Conv(width, factor**2 * channels, 3)])
        for layer in layers:
            if isinstance(layer, Conv):
                nn.init.kaiming_normal_(layer.weight, a=_SLOPE)
                # Arithmetic on `meta`, which has no values, would import SymPy: half a second.
                if layer.in_channels == layer.out_channels and not layer.weight.is_meta:
                    with torch.no_grad():
                        identity = nn.init.dirac_(torch.empty_like(layer.weight))
                        layer.weight.mul_(0.2).add_(identity)
        nn.init.zeros_(self.head.weight)

    @property
    def head(self) -> Conv:
        """The last convolution."""
        return self.body[-1]  # type: ignore[return-value]

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for layer in self.body:
            h = layer(h)
        base = F.interpolate(x, scale_factor=float(self.factor), mode="nearest")
        return base + F.pixel_shuffle(h, self.factor).to(base.dtype)


def build(flow: FlowConfig) -> Compact:
    (width,) = flow.guides
    return Compact(flow.target_channels, width, flow.guide_blocks, flow.guide_factor)
