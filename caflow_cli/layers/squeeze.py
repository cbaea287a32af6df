"""Squeeze: space to channels (paper appendix A.1)."""

import torch.nn.functional as F
from torch import Tensor, nn

from ..devices import zeros_float64
from .terms import WithLogdet


class Squeeze(nn.Module):
    """(B, C, H, W) <-> (B, 4C, H/2, W/2). It permutes values, so the log-determinant is 0."""

    def forward(self, x: Tensor, cond: None = None) -> WithLogdet:
        return F.pixel_unshuffle(x, 2), zeros_float64(x.shape[0], x)

    def inverse(self, y: Tensor, cond: None = None) -> WithLogdet:
        return F.pixel_shuffle(y, 2), zeros_float64(y.shape[0], y)
