"""Affine injector (paper section 2.2)."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from .nets import ConvNet
from .terms import affine, affine_inverse

__all__ = ["Injector", "ScaleAndBias"]


class ScaleAndBias(NamedTuple):
    """What a net that reads the condition alone has said, computed ahead: (raw, b)."""

    net: Tensor  # (B, 2C, H, W), or (B / M, 2C, H, W)


class Injector(nn.Module):
    """`y = exp(s(c)) x + b(c)`: scale and bias of every value from the condition alone.

    `cond` is the first layer of the net, (B, hidden, H, W), or (B / M, hidden, H, W) for M
    candidates an image: the net then runs once an image. With `hidden = 0` there is no net, and
    `cond` is what one would have put out, (raw, b): (B, 2C, H, W), or (B / M, 2C, H, W). Or it is
    what `read` made of either.

    Shapes: x (B, C, H, W).
    """

    def __init__(self, channels: int, hidden: int, bound: float) -> None:
        super().__init__()
        self.bound = bound
        self.net = ConvNet(0, hidden, 2 * channels) if hidden else None

    def read(self, cond: Tensor | ScaleAndBias) -> ScaleAndBias:
        """Scale and bias, for more than one use."""
        if isinstance(cond, ScaleAndBias):
            return cond
        return ScaleAndBias(cond if self.net is None else self.net(None, cond))

    def forward(self, x: Tensor, cond: Tensor | ScaleAndBias) -> tuple[Tensor, Tensor]:
        return affine(x, self.read(cond).net, self.bound)

    def inverse(self, y: Tensor, cond: Tensor | ScaleAndBias) -> tuple[Tensor, Tensor]:
        return affine_inverse(y, self.read(cond).net, self.bound)
