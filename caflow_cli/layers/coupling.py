"""Affine coupling, unconditional and conditional (paper equations 3 and 5)."""

from __future__ import annotations

from torch import Tensor, nn

from .nets import ConvNet
from .terms import affine, affine_inverse

__all__ = ["Coupling"]


class Coupling(nn.Module):
    """`y1 = exp(s(x2, c)) x1 + b(x2, c)`, `y2 = x2` (`affine`).

    x1 and x2 are the halves of the channels, and s is bounded: `s = bound tanh(raw / bound)`.
    `cond`, if given, is the condition's part of the net's first layer, (B, hidden, H, W), or (B /
    M, hidden, H, W) for M candidates of each image.

    Shapes: x (B, C, H, W), with C even.
    """

    def __init__(self, channels: int, hidden: int, bound: float) -> None:
        super().__init__()
        self.bound = bound
        self.net = ConvNet(channels // 2, hidden, channels)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        _, x2 = x.chunk(2, dim=1)
        return affine(x, self.net(x2, cond), self.bound)

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> tuple[Tensor, Tensor]:
        _, y2 = y.chunk(2, dim=1)
        return affine_inverse(y, self.net(y2, cond), self.bound)
