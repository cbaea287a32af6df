"""Actnorm and the 1×1 convolution behind it, as the one affine map that they are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .actnorm import ActNorm
from .conv import conv2d
from .invconv import InvConv1x1
from .terms import volume

__all__ = ["ChannelAffine"]


class ChannelAffine(nn.Module):
    """`y = W (exp(log_scale) (x + bias))` at every pixel, applied as one convolution.

    This is a transition step (paper appendix A.1), and the first half of every flow step.

    Shapes: x (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.actnorm = ActNorm(channels)
        self.invconv = InvConv1x1(channels)

    def _log_scale(self) -> Tensor:
        return self.actnorm.log_scale + self.invconv.log_diag

    def forward(self, x: Tensor, cond: None = None) -> tuple[Tensor, Tensor]:
        self.actnorm.initialize(x)
        # A rounding error in the composed weight is the same at every pixel and adds up: outside
        # training it is composed in float64 and rounded once.
        dtype = x.dtype if self.training else torch.float64
        scale, bias = self.actnorm.log_scale.to(dtype).exp(), self.actnorm.bias.to(dtype)
        weight = self.invconv.weight(dtype) * scale
        y = conv2d(x, weight.to(x.dtype)[:, :, None, None], (weight @ bias).to(x.dtype))
        return y, volume(self._log_scale(), x)

    def inverse(self, y: Tensor, cond: None = None) -> tuple[Tensor, Tensor]:
        scale = self.actnorm.log_scale.double().neg().exp()
        weight = self.invconv.inverse_weight() * scale[:, None]
        x = conv2d(y, weight.to(y.dtype)[:, :, None, None], -self.actnorm.bias.to(y.dtype))
        return x, -volume(self._log_scale(), y)
