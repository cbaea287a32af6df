"""Guides: nets that predict the mean of every value from the whole condition."""

from ...config import FlowConfig
from .enlarge import Enlarge
from .norms import Moments
from .spread import Spread
from .sums import Guide
from .unet import UNet
from .views import mean_of_views

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
