"""Affine injector (paper section 2.2)."""

from __future__ import annotations

from torch import Tensor, nn

from .nets import ConvNet
from .terms import bounded, per_candidate, sum_per_image

__all__ = ["Injector"]


class Injector(nn.Module):
    """`y = exp(s(c)) x + b(c)`: scale and bias of every value from the condition alone.

    `cond` is the first layer of the net, (B, hidden, H, W), or (B / M, hidden, H, W) for M
    candidates an image: the net then runs once an image.

    Shapes: x (B, C, H, W).
    """

    def __init__(self, channels: int, hidden: int, bound: float) -> None:
        super().__init__()
        self.bound = bound
        self.net = ConvNet(0, hidden, 2 * channels)

    def _scale_and_bias(self, cond: Tensor, batch: int) -> tuple[Tensor, Tensor]:
        raw, bias = self.net(None, cond).chunk(2, dim=1)
        return per_candidate(bounded(raw, self.bound), batch), per_candidate(bias, batch)

    def forward(self, x: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        s, b = self._scale_and_bias(cond, x.shape[0])
        return s.exp() * x + b, sum_per_image(s)

    def inverse(self, y: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        s, b = self._scale_and_bias(cond, y.shape[0])
        return (y - b) * s.neg().exp(), -sum_per_image(s)
