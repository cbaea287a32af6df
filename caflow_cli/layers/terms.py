"""Functions that all layers share: float64 sums, bounded scales, repeated conditions."""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ..devices import sum_float64, to_like, zeros_float64

# What a map returns: its output, and its log-determinant in nats, (B,) float64.
WithLogdet: TypeAlias = tuple[Tensor, Tensor]


def zero_logdet(x: Tensor) -> Tensor:
    """The log-determinant of a map that moves values only, and where a sum of them starts: (B,)."""
    return zeros_float64(x.shape[0], x)


def sum_per_image(x: Tensor, batch: int | None = None) -> Tensor:
    """Sum over all dimensions except the first, in float64: (B, ...) -> (B,).

    If `batch` is given, each image's sum is repeated for its candidates, `batch` in all.
    """
    # Sum over the original dimensions: flattening channels_last memory would copy.
    return per_candidate(sum_float64(x, tuple(range(1, x.ndim))), batch or x.shape[0])


def volume(log_scale: Tensor, x: Tensor) -> Tensor:
    """The log-determinant of scaling each channel of x, with log-scales (C,): (B,)."""
    batch, _, height, width = x.shape
    return (height * width * sum_float64(log_scale)).expand(batch)


def scaling(factor: float, channels: int, x: Tensor) -> Tensor:
    """The log-determinant of scaling `channels` channels of x by one factor: (B,)."""
    return volume(zeros_float64(channels, x) + math.log(factor), x)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """`log N(z; 0, I)` in nats: (B, ...) -> (B,), summed in float64."""
    constant = z[0].numel() * math.log(2 * math.pi)
    return -0.5 * (sum_per_image(z.square()) + constant)


def bounded(raw: Tensor, bound: float) -> Tensor:
    """`c tanh(raw / c)`, a log-scale in (-c, c) with c = `bound`; near 0 nearly the identity.

    With unbounded log-scales, a trained flow stretches by more than float32 can invert.
    """
    return _bounded(raw, bound)[1]


def sigmoid(x: Tensor) -> Tensor:
    """`1 / (1 + exp(-x))`, with the same bits wherever a value lies in memory."""
    return torch.exp(-F.softplus(-x))


def _bounded(raw: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    """σ(2 raw / c) = 1 / (1 + exp(-2 raw / c)), and `bounded(raw, c)`: tanh(r) = 2 σ(2 r) - 1.

    PyTorch's `exp` rounds a value in the same way wherever it lies in memory. Its `sigmoid` and
    `exp2` round the last values of an array differently, so a score would depend on the batch; and
    its `tanh` takes three times as long as this.
    """
    # Copy first: operations on a strided half of the channels cost several times as much.
    sigma = raw.clone().mul_(-2 / bound).exp_().add(1).reciprocal_()
    return sigma, (sigma * (2 * bound)).sub_(bound)


def per_candidate(value: Tensor, batch: int) -> Tensor:
    """Repeat each image's entry for its candidates: (B, ...) to (B*M, ...).

    The batch is grouped by image. For a single image nothing is copied.
    """
    if value.shape[0] == 1:
        return value.expand(batch, *value.shape[1:])
    repeats = batch // value.shape[0]
    return value if repeats == 1 else value.repeat_interleave(repeats, dim=0)


def affine(x: Tensor, net: Tensor, bound: float, shift: float | None = None) -> WithLogdet:
    """`y1 = exp(s) x1 + b`, `y2 = x2`, and `Σ s` for each image, for couplings and injectors.

    The channels of `net` are (raw, b), with `s = bounded(raw, bound)`, and b bounded by `shift`, if
    that is given; x1 is the first channels of
    x, as many as raw has, and x2 is the rest, if any. Forward and backward are hand-written,
    because autograd would save strided halves and compute with them.

    Shapes: x (B, C, H, W); net (B, 2 C1, H, W), C1 <= C, or (B / M, ...) for M candidates of each
    image.
    """
    if torch.is_grad_enabled():
        return _Affine.apply(x, net, bound, shift)  # type: ignore[no-any-return]
    return affine_forward(x, net, bound, shift)[:2]


def affine_inverse(y: Tensor, net: Tensor, bound: float, shift: float | None = None) -> WithLogdet:
    """`x1 = exp(-s) (y1 - b)`, `x2 = y2`, and `-Σ s` for each image. Shapes as in `affine`."""
    half = net.shape[1] // 2
    raw, b = net.to(y.dtype).split(half, dim=1)
    s = bounded(raw, bound).neg_()
    if shift is not None:
        b = bounded(b, shift)
    logdet = sum_per_image(s, y.shape[0])
    scale = per_candidate(s.exp_(), y.shape[0])
    b = per_candidate(b, y.shape[0])
    if half == y.shape[1]:
        return (y - b) * scale, logdet
    # Not slices, whose gradients have another memory layout, in which convolutions round otherwise.
    y1, y2 = y.split((half, y.shape[1] - half), dim=1)
    x1 = (y1 - b) * scale
    return torch.cat([x1, y2], dim=1), logdet


def affine_forward(
    x: Tensor, net: Tensor, bound: float, shift: float | None = None
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor, Tensor | None]]:
    """`affine`, and what `affine_backward` needs: x, σ of s = bound (2 σ - 1), exp(s), and the σ of
    b if it is bounded.

    Halves of the channels are strided in memory, which is slow, so results are computed in dense
    memory and then copied into place.
    """
    batch = x.shape[0]
    half = net.shape[1] // 2
    values = net.to(x.dtype)
    sigma, s = _bounded(values[:, :half], bound)
    logdet = sum_per_image(s, batch)
    scale = per_candidate(s.exp_(), batch)
    sigma_b, b = None, values[:, half:]
    if shift is not None:
        sigma_b, b = _bounded(b, shift)
    b = per_candidate(b, batch)
    if half == x.shape[1]:
        y = (x * scale).add_(b)
    else:
        y = x.clone()
        y[:, :half].mul_(scale).add_(b)
    return y, logdet, (x, sigma, scale, sigma_b)


def affine_backward(
    parts: Sequence[Tensor | None], grad_y: Tensor, grad_logdet: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients for x1 and `net`; the gradient for x2 is the second part of `grad_y`."""
    x, sigma, scale, sigma_b = parts
    assert x is not None
    assert sigma is not None
    assert scale is not None
    half = sigma.shape[1]
    grad_b = grad_y[:, :half]
    grad_x1 = grad_b * scale
    grad_s = grad_x1 * x[:, :half]
    grad_s.add_(to_like(grad_logdet, x)[:, None, None, None])
    if len(x) > len(sigma):  # the candidates of an image share the net's output
        grad_b = grad_b.unflatten(0, (len(sigma), -1)).sum(1)
        grad_s = grad_s.unflatten(0, (len(sigma), -1)).sum(1)
    # d s / d raw = 1 - (s / bound)^2 = 4 σ (1 - σ)
    grad_raw = torch.ops.aten.sigmoid_backward.grad_input(grad_s.mul_(4), sigma, grad_input=grad_s)
    if sigma_b is not None:
        grad_b = torch.ops.aten.sigmoid_backward(4 * grad_b, sigma_b)
    return grad_x1, torch.cat([grad_raw, grad_b], dim=1)


class _Affine(Function):
    """`affine` as a single autograd operation."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, net: Tensor, bound: float, shift: float | None) -> WithLogdet:
        y, logdet, parts = affine_forward(x, net, bound, shift)
        ctx.save_for_backward(*parts)
        ctx.net_dtype = net.dtype
        return y, logdet

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(  # type: ignore[override]
        ctx: Any, grad_y: Tensor, grad_logdet: Tensor
    ) -> tuple[Tensor, Tensor, None, None]:
        grad_x, grad_net = affine_backward(ctx.saved_tensors, grad_y, grad_logdet)
        if grad_x.shape[1] < grad_y.shape[1]:
            grad_x = torch.cat([grad_x, grad_y[:, grad_x.shape[1] :]], dim=1)
        return grad_x, grad_net.to(ctx.net_dtype), None, None
