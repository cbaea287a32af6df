"""A net that reads an image in several orientations."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from ...devices import to_layout

__all__ = ["mean_of_views"]


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
