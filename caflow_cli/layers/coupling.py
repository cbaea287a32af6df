"""Affine coupling (paper equations 3 and 5), and the affine injector (section 2.2)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ..devices import to_layout
from .nets import ConvNet, net_backward
from .terms import WithLogdet, affine, affine_backward, affine_forward, affine_inverse


class Coupling(nn.Module):
    """`y1 = exp(s(x2, c)) x1 + b(x2, c)`, `y2 = x2` (`affine`).

    x1 and x2 are the two halves of the channels, and s is bounded: `s = bound tanh(raw / bound)`.
    With `shift`, a bound of b, the inverse does not grow with x2.
    `cond`, if given, is the condition's contribution to the net's first layer: (B, hidden, H, W),
    or (B / M, hidden, H, W) for M candidates of each image.

    Shapes: x (B, C, H, W), with C even.
    """

    def __init__(
        self, channels: int, hidden: int, bound: float, shift: float | None = None
    ) -> None:
        super().__init__()
        self.bound = bound
        self.shift = shift
        self.net = ConvNet(channels // 2, hidden, channels)

    def forward(self, x: Tensor, cond: Tensor | None = None) -> WithLogdet:
        if torch.is_grad_enabled():
            weights = self.net.parameters()  # weight and bias, layer by layer
            return _Coupling.apply(x, cond, self.bound, self.shift, self.net, *weights)  # type: ignore[no-any-return]
        _, x2 = x.chunk(2, dim=1)
        return affine(x, self.net(x2, cond), self.bound, self.shift)

    def inverse(self, y: Tensor, cond: Tensor | None = None) -> WithLogdet:
        _, y2 = y.chunk(2, dim=1)
        return affine_inverse(y, self.net(y2, cond), self.bound, self.shift)


class _Coupling(Function):
    """`Coupling.forward` as a single autograd operation.

    It takes most of a training step. Autograd would add a node for every convolution, ReLU and
    conversion, and one that pads the gradient of x2 with zeros.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: Tensor,
        cond: Tensor | None,
        bound: float,
        shift: float | None,
        net: ConvNet,
        *weights: Tensor,
    ) -> WithLogdet:
        _, x2 = x.chunk(2, dim=1)
        read, net_parts = net.forward_parts(x2, cond)
        y, logdet, affine_parts = affine_forward(x, read, bound, shift)
        ctx.save_for_backward(*affine_parts, *net_parts)
        ctx.candidates = 1 if cond is None else len(x) // len(cond)
        ctx.types = [None if t is None else t.dtype for t in (cond, *weights)]
        return y, logdet

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_y: Tensor, grad_logdet: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        saved = ctx.saved_tensors  # read once: with checkpointing they are available only once
        grad_x1, grad_read = affine_backward(saved[:4], grad_y, grad_logdet)
        grad_read = to_layout(grad_read.to(saved[4].dtype))
        by_net, grad_cond, grad_weights = net_backward(saved[4:], grad_read)
        half = grad_x1.shape[1]
        grad_x2 = grad_y[:, half:] + by_net
        if ctx.candidates > 1:
            grad_cond = grad_cond.unflatten(0, (-1, ctx.candidates)).sum(1)
        of_cond, *of_weights = (
            None if dtype is None else grad.to(dtype)
            for grad, dtype in zip([grad_cond, *grad_weights], ctx.types, strict=True)
        )
        grad_x = torch.cat([grad_x1, grad_x2], dim=1)
        return grad_x, of_cond, None, None, None, *of_weights


class Injector(nn.Module):
    """`y = exp(s(c)) x + b(c)`: scale and bias of every value depend on the condition alone.

    `cond` is the result of `read`: the channels of raw, then those of b, with s = bounded(raw). Its
    shape is (B, 2C, H, W), or (B / M, 2C, H, W) for M candidates of each image.

    Args:
        channels: C.
        hidden: Hidden channels of the net; 0: no net, because a trunk computes (raw, b).
        bound: The bound of s.

    Shapes: x (B, C, H, W).
    """

    def __init__(self, channels: int, hidden: int, bound: float) -> None:
        super().__init__()
        self.bound = bound
        self.net = ConvNet(0, hidden, 2 * channels) if hidden else None

    def read(self, features: Tensor) -> Tensor:
        """Compute (raw, b) from first-layer features, (B, hidden, H, W); the identity if no net."""
        return features if self.net is None else self.net(None, features)  # type: ignore[no-any-return]

    def forward(self, x: Tensor, cond: Tensor) -> WithLogdet:
        return affine(x, cond, self.bound)

    def inverse(self, y: Tensor, cond: Tensor) -> WithLogdet:
        return affine_inverse(y, cond, self.bound)
