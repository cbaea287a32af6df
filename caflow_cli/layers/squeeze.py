"""Squeeze: space to channels (paper appendix A.1)."""

import torch.nn.functional as F
from torch import Tensor, nn

from .terms import WithLogdet, zero_logdet


class Squeeze(nn.Module):
    """(B, C, H, W) <-> (B, 4C, H/2, W/2). It permutes values, so the log-determinant is 0."""

    def forward(self, x: Tensor, cond: None = None) -> WithLogdet:
        return F.pixel_unshuffle(x, 2), zero_logdet(x)

    def inverse(self, y: Tensor, cond: None = None) -> WithLogdet:
        return F.pixel_shuffle(y, 2), zero_logdet(y)
