"""Guides: nets that predict the mean of every value from the whole condition."""

from collections.abc import Callable

from torch import Tensor

from ...config import FlowConfig
from ...devices import to_layout
from .enlarge import Enlarge
from .norms import Moments
from .spread import Spread
from .sums import Guide
from .unet import UNet

__all__ = [
    "Enlarge",
    "Guide",
    "GuideNet",
    "Moments",
    "Spread",
    "UNet",
    "build_guide",
    "build_spread",
    "mean_of_views",
]

GuideNet = Enlarge | Guide | UNet


def build_guide(flow: FlowConfig) -> GuideNet | None:
    """The guide of a config: it predicts the mean of every value of the target. None: none."""
    if not flow.guides:
        return None
    out = flow.target_channels
    if flow.guide_net == "enlarge":
        width, blocks, factor = flow.guides[0], flow.guide_blocks, flow.guide_factor
        return Enlarge(flow.cond_channels, width, blocks, factor, out)
    net = UNet if flow.guide_net == "unet" else Guide
    return net(flow.cond_channels, flow.guides, out)


def build_spread(flow: FlowConfig) -> Spread | None:
    """The net of a config that predicts how far values lie from the mean. None: none."""
    if not flow.spread:
        return None
    channels = flow.cond_channels + flow.target_channels
    return Spread(channels, flow.spread, flow.target_channels)


def mean_of_views(net: Callable[[Tensor], Tensor], x: Tensor, views: int) -> Tensor:
    """`1/V Σ_v v⁻¹(net(v(x)))` over the first V of an image's eight orientations v.

    They are the image, mirrored, upside down, both, and the transposes of these four. With V = 8
    the result turns with x, whatever the net learned. The errors of the net differ between
    orientations, so their mean has smaller ones (Timofte et al., "Seven ways to improve
    example-based single image super resolution", 2016).

    Args:
        net: (B, in, H, W) -> (B, out, H, W).
        x: (B, in, H, W).
        views: V, 1, 2, 4 or 8. They are read one after the other: time grows, memory does not.
    """
    total = net(x)
    for view in range(1, views):
        total = total + _back(net(to_layout(_turned(x, view))), view)
    return to_layout(total / views) if views > 1 else total


def _turned(x: Tensor, view: int) -> Tensor:
    x = x.transpose(-2, -1) if view & 4 else x
    return x.flip(_axes(view))


def _back(x: Tensor, view: int) -> Tensor:
    x = x.flip(_axes(view))
    return x.transpose(-2, -1) if view & 4 else x


def _axes(view: int) -> list[int]:
    """The axes that an orientation reverses: columns in odd ones, rows in 2, 3, 6 and 7."""
    return [axis for bit, axis in ((1, -1), (2, -2)) if view & bit]
