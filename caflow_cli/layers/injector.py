"""Affine injector (paper section 2.2)."""

from __future__ import annotations

from torch import Tensor, nn

from .nets import ConvNet
from .terms import affine, affine_inverse


class Injector(nn.Module):
    """`y = exp(s(c)) x + b(c)`: scale and bias of every value depend on the condition alone.

    `cond` is the result of `read`: the channels of raw, then those of b, with s = bounded(raw). Its
    shape is (B, 2C, H, W), or (B / M, 2C, H, W) for M candidates of each image.

    Args:
        channels: C.
        hidden: Kernels of the net; 0: there is no net, and a trunk computes (raw, b).
        bound: Of s.

    Shapes: x (B, C, H, W).
    """

    def __init__(self, channels: int, hidden: int, bound: float) -> None:
        super().__init__()
        self.bound = bound
        self.net = ConvNet(0, hidden, 2 * channels) if hidden else None

    def read(self, features: Tensor) -> Tensor:
        """Compute (raw, b) from the first layer, (B, hidden, H, W), or return it without a net."""
        return features if self.net is None else self.net(None, features)  # type: ignore[no-any-return]

    def forward(self, x: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        return affine(x, cond, self.bound)

    def inverse(self, y: Tensor, cond: Tensor) -> tuple[Tensor, Tensor]:
        return affine_inverse(y, cond, self.bound)
