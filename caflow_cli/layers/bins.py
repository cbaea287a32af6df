"""Bins: stored values on the model's scale, [0, 256), on which an 8-bit value has unit width."""

import torch
from torch import Tensor

from ..config import FILL, HOLE

# The width of a bin, by the type of stored values.
WIDTHS = {torch.uint8: 1.0, torch.uint16: 1 / 256}


def center(y: Tensor, width: float) -> Tensor:
    """The center of the bin of each value: `(w + 1/2) width`, with the stored value w."""
    return ((y / width).floor() + 0.5) * width


def points_of(w: Tensor, u: Tensor | float, width: float, has_mask: bool) -> Tensor:
    """Points `(w + u) width` in the bins of stored values w, as floats, (B, C, H, W); with u = 1/2
    the centers.

    With a mask, the last channel, which is 0 or 255, and what fills its holes are those of 8 bits.
    """
    points = (w + u) * width
    if not has_mask or width == 1:
        return points
    mask = w[:, 3:]
    known = torch.cat([mask < HOLE] * 3 + [torch.zeros_like(mask, dtype=torch.bool)], dim=1)
    of_8_bits = torch.cat([torch.full_like(w[:, :3], FILL), mask], dim=1)
    return points.where(known, of_8_bits + u)


def to_stored(v: Tensor, width: float) -> Tensor:
    """Convert points to stored values: `clamp(floor(v / width), 0, 256 / width - 1)`."""
    w = (v / width).floor().clamp(0, 256 / width - 1)
    return w.to(torch.uint8 if width == 1 else torch.uint16)
