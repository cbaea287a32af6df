"""Convolutions with hand-written gradients.

A training step has hundreds of convolutions of well under a millisecond each, and their overhead
takes as much time again: autograd adds a node, and a pass over memory, for every conversion of a
weight, every ReLU and every sum. Besides, oneDNN's weight gradients are several times slower than
its other operations if an image has few pixels; there a matrix product takes their place.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ..devices import prefers_products, to_layout
from .conv import conv2d


def convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dtype: torch.dtype | None = None,
    relu: bool = False,
) -> Tensor:
    """Same-size `conv2d(x, weight, bias)`, with an optional ReLU.

    Shapes: x (B, in, H, W), weight (out, in, k, k) with k odd -> (B, out, H, W).

    Args:
        dtype: The dtype to compute in. Default: that of x.
    """
    dtype = dtype or x.dtype
    values = x.to(dtype)
    learns = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    if learns and prefers_products(values, weight.shape[-1]):
        return _Convolution.apply(x, weight, bias, dtype, relu)  # type: ignore[no-any-return]
    return conv2d(values, weight.to(dtype), None if bias is None else bias.to(dtype), relu)


class _Convolution(Function):
    """`convolution` as one operation of autograd."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, dtype: torch.dtype, relu: bool
    ) -> Tensor:
        values = x.to(dtype)
        kernel = weight.to(dtype)
        y = conv2d(values, kernel, None if bias is None else bias.to(dtype), relu)
        if len(y) == 1:  # a view of a batch of two (`conv2d`), which must not change in place
            y = y.clone()
        ctx.save_for_backward(values, kernel, y if relu else None)
        ctx.types = x.dtype, weight.dtype
        return y

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, kernel, y = ctx.saved_tensors
        x_type, weight_type = ctx.types
        wants_x, _, wants_bias, *_ = ctx.needs_input_grad
        grad = to_layout(grad)
        if y is not None:
            grad = torch.ops.aten.threshold_backward.default(grad, y, 0)
        of_x = data_gradient(grad, x, kernel).to(x_type) if wants_x else None
        of_weight, of_bias = (g.to(weight_type) for g in weight_gradients(grad, x, kernel))
        return of_x, of_weight, of_bias if wants_bias else None, None, None


def mask(grad: Tensor, y: Tensor) -> Tensor:
    """Set `grad` to 0, in place, where `y`, the output of a ReLU, is 0."""
    return torch.ops.aten.threshold_backward.grad_input(grad, y, 0, grad_input=grad)  # type: ignore[no-any-return]


def data_gradient(grad: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """The gradient of `conv2d(x, weight)` for x, given that of its output.

    Shapes: grad (B, out, H, W), in its device's memory format.
    """
    if weight.shape[-1] == 1 and prefers_products(x, 1):
        return _images(_rows(grad) @ weight.flatten(1), x)
    of_x: Tensor = _convolution_backward(grad, x, weight, [True, False, False])[0]
    return of_x


def weight_gradients(grad: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of `conv2d(x, weight, bias)` for weight and bias, given that of its output."""
    size = weight.shape[-1]
    if not prefers_products(x, size):
        return _convolution_backward(grad, x, weight, [False, True, True])[1:]
    rows = _rows(grad)
    windows = _rows(x) if size == 1 else _windows(x, size)
    products = rows.t() @ windows
    grad_weight = products.view(len(weight), size, size, -1).permute(0, 3, 1, 2)
    return grad_weight, rows.sum(0)


def _convolution_backward(
    grad: Tensor, x: Tensor, weight: Tensor, wants: list[bool]
) -> tuple[Any, ...]:
    pad = weight.shape[-1] // 2
    return torch.ops.aten.convolution_backward.default(  # type: ignore[no-any-return]
        grad, x, weight, [len(weight)], [1, 1], [pad, pad], [1, 1], False, [0, 0], 1, wants
    )


def _rows(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B H W, C), one row per pixel; a view if x is channels-last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _images(rows: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_rows`, with the shape of `like`."""
    batch, channels, height, width = like.shape
    return rows.view(batch, height, width, channels).permute(0, 3, 1, 2)


def _windows(x: Tensor, size: int) -> Tensor:
    """The values under the kernel at every pixel (im2col): (B H W, size size C)."""
    batch, channels, height, width = x.shape
    pad = size // 2
    padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, pad, pad, pad, pad))
    image, row, column, _ = padded.stride()
    windows = padded.as_strided(
        (batch, height, width, size, size * channels),
        (image, row, column, row, 1),
    )
    return windows.reshape(batch * height * width, -1)
