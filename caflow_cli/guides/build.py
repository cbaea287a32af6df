"""From a config to its guide, and from a guide to the mean over orientations."""

from collections.abc import Callable
from importlib import import_module

from torch import Tensor, nn

from ..config import FlowConfig
from ..devices import to_layout


def build_guide(flow: FlowConfig) -> nn.Module | None:
    """Build the guide of a config, which predicts the mean of every value; None if it has none.

    The module of its name in this room has a function `build`.
    """
    if not flow.guides:
        return None
    guide: nn.Module = import_module(f".{flow.guide_net}", __package__).build(flow)
    return guide


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
        transposes = bool(view & 4)
        flipped = [axis for bit, axis in ((1, -1), (2, -2)) if view & bit]
        turned = x.transpose(-2, -1) if transposes else x
        y = net(to_layout(turned.flip(flipped)))
        y = y.flip(flipped)
        total = total + (y.transpose(-2, -1) if transposes else y)
    return to_layout(total / views)
