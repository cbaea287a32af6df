"""Actnorm and the 1×1 convolution after it, as one affine map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..devices import to_dtype, to_float64, to_like
from .actnorm import ActNorm
from .conv import FixedConv, conv2d
from .convolve import convolution
from .invconv import InvConv1x1
from .terms import WithLogdet, volume


class AffineMap(nn.Module):
    """A `ChannelAffine` as `y = weight x + bias`, with log-scales that sum to log|det|.

    It has no parameters and no inverse: training composes it from those of `ChannelAffine`s.

    Args:
        weight: (C, C).
        bias, log_scale: (C,).

    Shapes: x (B, C, H, W).
    """

    def __init__(self, weight: Tensor, bias: Tensor, log_scale: Tensor) -> None:
        super().__init__()
        self.weight = weight
        self.bias = bias
        self.log_scale = log_scale

    def forward(self, x: Tensor, cond: None = None) -> WithLogdet:
        return convolution(x, *_kernel(self, x)), volume(self.log_scale, x)


class ChannelAffine(nn.Module):
    """`y = W (exp(log_scale) (x + bias))` at every pixel, applied as one convolution.

    This is a transition step (paper appendix A.1), and the first half of every flow step.

    Shapes: x (B, C, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.actnorm = ActNorm(channels)
        self.invconv = InvConv1x1(channels)

    def forward(self, x: Tensor, cond: None = None) -> WithLogdet:
        self.actnorm.initialize(x)
        # A rounding error in the composed weight is the same at every pixel, so it adds up.
        # Outside training the weight is therefore composed in float64 and rounded once.
        [affine_map] = affine_maps([self], x.dtype if self.training else torch.float64)
        return affine_map(x)  # type: ignore[no-any-return]

    def inverse_map(self) -> AffineMap:
        """`x = weight y + bias`, in float64."""
        log_scale = to_float64(self.actnorm.log_scale)
        weight = self.invconv.inverse_weight() * log_scale.neg().exp()[:, None]
        total = log_scale + to_float64(self.invconv.log_diag)
        return AffineMap(weight, -to_float64(self.actnorm.bias), -total)

    def inverse(self, y: Tensor, cond: None = None) -> WithLogdet:
        inverse = self.inverse_map()
        return conv2d(y, *_kernel(inverse, y)), volume(inverse.log_scale, y)

    def fold(self) -> FoldedAffine:
        return FoldedAffine([self])


def _kernel(affine_map: AffineMap, like: Tensor) -> tuple[Tensor, Tensor]:
    """Weight and bias of a 1×1 convolution, in the dtype of `like`."""
    weight = to_like(affine_map.weight, like)[:, :, None, None]
    return weight, to_like(affine_map.bias, like)


class FoldedAffine(nn.Module):
    """Successive `ChannelAffine`s as one map `y = W x + b`, for inference.

    W, b and the inverse are composed in float64 and rounded once, to the dtype of the weights. For
    float64 inputs they are not rounded.

    Shapes: x (B, C, H, W).
    """

    def __init__(self, layers: Sequence[ChannelAffine]) -> None:
        super().__init__()
        self._layers = tuple(layers)
        self.forth, self.back, log_scale = _both_ways(layers, layers[0].actnorm.bias)
        self.log_scale = log_scale.sum(0, keepdim=True)  # summed over channels
        self._wide: tuple[FixedConv, FixedConv] | None = None  # float64 maps, made on demand
        self.eval()

    def in_bf16(self) -> FoldedAffine:
        """Return itself: invertible maps stay exact."""
        return self

    def _maps(self, x: Tensor) -> tuple[FixedConv, FixedConv]:
        if x.dtype != torch.float64 or self.forth.weight.dtype == torch.float64:
            return self.forth, self.back
        if self._wide is None:
            self._wide = _both_ways(self._layers, x)[:2]
        return self._wide

    def forward(self, x: Tensor, cond: None = None) -> WithLogdet:
        return self._maps(x)[0](x), volume(self.log_scale, x)

    def inverse(self, y: Tensor, cond: None = None) -> WithLogdet:
        return self._maps(y)[1](y), -volume(self.log_scale, y)


@torch.no_grad()
def _both_ways(
    layers: Sequence[ChannelAffine], like: Tensor
) -> tuple[FixedConv, FixedConv, Tensor]:
    """Compose layers into one map and its inverse, in the dtype of `like`, and log-scales (C,)."""
    forth = product(affine_maps(layers, torch.float64))
    # From the last layer to the first: x = V_1 (... (V_m y - a_m) ...) - a_1.
    back = product([layer.inverse_map() for layer in reversed(layers)])
    return FixedConv(*_kernel(forth, like)), FixedConv(*_kernel(back, like)), forth.log_scale


def product(maps: Sequence[AffineMap]) -> AffineMap:
    """Compose maps into one, in their order of application."""
    composed, *later = maps
    for step in later:
        weight = step.weight @ composed.weight
        bias = step.weight @ composed.bias + step.bias
        composed = AffineMap(weight, bias, composed.log_scale + step.log_scale)
    return composed


def affine_maps(layers: Sequence[ChannelAffine], dtype: torch.dtype) -> list[AffineMap]:
    """Compute the maps of layers of one width.

    All matrices are composed as one batch, because composing layer by layer is a sixth of all
    operations in training a small model.
    """
    log_scale = torch.stack([layer.actnorm.log_scale for layer in layers])
    log_diag = torch.stack([layer.invconv.log_diag for layer in layers])
    bias = to_dtype(torch.stack([layer.actnorm.bias for layer in layers]), dtype)
    weight = InvConv1x1.weights([layer.invconv for layer in layers], dtype)
    weight = weight * to_dtype(log_scale, dtype).exp()[:, None, :]
    shift = (weight @ bias[:, :, None])[:, :, 0]
    total = to_float64(log_scale) + to_float64(log_diag)
    return [AffineMap(*parts) for parts in zip(weight, shift, total, strict=True)]
