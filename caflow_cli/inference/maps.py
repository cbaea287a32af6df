"""Where in a picture its log-likelihood comes from."""

from __future__ import annotations

import torch
from torch import Tensor

from ..layers.terms import observed
from ..model import CAFlow, Encoding

__all__ = ["log_prob_map"]


def log_prob_map(model: CAFlow, target: Tensor, cond: Tensor | Encoding) -> Tensor:
    """`model.log_prob(target, cond)` spread over the picture: (B, H, W) float64, nats a pixel.

    Each term of equation 9, at whatever resolution it arises, is summed over channels and spread
    evenly over the cell of pixels behind it; the map sums to the score. A latent sees far beyond
    its cell: this says where the terms arise, and is no likelihood of a pixel.

    Args:
        target: uint8 (B, C, H, W).
        cond: uint8 at target size, or `encode_condition`'s result.
    """
    encoding = model.encode_condition(cond)
    batch, (height, width) = target.shape[0], encoding.size
    cells: dict[tuple[int, int], Tensor] = {}  # sums of the terms of one resolution

    def add(term: Tensor) -> None:
        # Functions that share weights run all their uses of an image side by side in the batch.
        values = term.double().reshape(batch, -1, *term.shape[-2:]).sum(1)
        size = (values.shape[-2], values.shape[-1])
        cells[size] = cells[size] + values if size in cells else values

    with observed(add):
        model.log_prob(target, encoding)
    total = torch.zeros((batch, height, width), dtype=torch.float64, device=model.device)
    for (rows, columns), values in cells.items():
        down, right = height // rows, width // columns
        spread = values.repeat_interleave(down, -2).repeat_interleave(right, -1)
        total += spread / (down * right)
    return total
