"""Squeeze: space to channels (paper appendix A.1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Squeeze"]


class Squeeze(nn.Module):
    """(B, C, H, W) <-> (B, 4C, H/2, W/2). A permutation of values: the log-determinant is 0."""

    def forward(self, x: Tensor, cond: None = None) -> tuple[Tensor, Tensor]:
        return F.pixel_unshuffle(x, 2), x.new_zeros(x.shape[0], dtype=torch.float64)

    def inverse(self, y: Tensor, cond: None = None) -> tuple[Tensor, Tensor]:
        return F.pixel_shuffle(y, 2), y.new_zeros(y.shape[0], dtype=torch.float64)
