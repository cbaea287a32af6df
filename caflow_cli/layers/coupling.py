"""Affine coupling, unconditional and conditional (paper equations 3 and 5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .nets import ConvNet
from .terms import bounded, sum_per_image

__all__ = ["Coupling"]


class Coupling(nn.Module):
    """`y1 = exp(s(x2, c)) x1 + b(x2, c)`, `y2 = x2`.

    x1 and x2 are the halves of the channels, and s is bounded: `s = bound tanh(raw / bound)`.
    `cond`, if given, is the condition's part of the net's first layer, (B, hidden, H, W), or
    (B / M, hidden, H, W) for M candidates an image.

    Shapes: x (B, C, H, W), C even.
    """

    def __init__(self, channels: int, hidden: int, bound: float) -> None:
        super().__init__()
        self.bound = bound
        self.net = ConvNet(channels // 2, hidden, channels)

    def _scale_and_bias(self, x2: Tensor, cond: Tensor | None) -> tuple[Tensor, Tensor]:
        raw, bias = self.net(x2, cond).chunk(2, dim=1)
        return bounded(raw, self.bound), bias

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x1, x2 = x.chunk(2, dim=1)
        s, b = self._scale_and_bias(x2, cond)
        return torch.cat([s.exp() * x1 + b, x2], dim=1), sum_per_image(s)

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        y1, y2 = y.chunk(2, dim=1)
        s, b = self._scale_and_bias(y2, cond)
        return torch.cat([(y1 - b) * s.neg().exp(), y2], dim=1), -sum_per_image(s)
