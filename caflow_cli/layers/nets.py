"""The networks inside couplings and injectors, which need not be invertible; typed module lists."""

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .conv import FixedConv, conv2d
from .convolve import convolution, data_gradient, mask, weight_gradients
from .terms import per_candidate

_M = TypeVar("_M", bound=nn.Module)


class Modules(nn.ModuleList, Generic[_M]):
    """A typed `nn.ModuleList`, with the same tensor names."""

    def __iter__(self) -> Iterator[_M]:
        return iter(self._modules.values())  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> _M:  # type: ignore[override]
        return super().__getitem__(index)  # type: ignore[return-value]


class Conv(nn.Conv2d):
    """A same-size convolution that runs in bfloat16 in training if `bf16` is set. Its bias starts
    at 0.

    Only nets may use bfloat16, because they are never inverted. Outside `train()` the dtype of the
    parameters is used, so scores and samples never use bfloat16.
    """

    bf16 = False  # set by `training.optim.use_bf16`

    def __init__(
        self, in_channels: int, out_channels: int, size: int, *, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, size, padding=size // 2, bias=bias)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    @property
    def dtype(self) -> torch.dtype:
        """The dtype in which inputs are convolved."""
        return torch.bfloat16 if self.training and self.bf16 else self.weight.dtype

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        return convolution(x, self.weight, self.bias, self.dtype, relu)

    def fold(self) -> FixedConv:
        return FixedConv(self.weight, self.bias)


class ConvNet(nn.Module):
    """3×3, ReLU, 1×1, ReLU, 3×3 (paper appendix A.1). The last layer is zero-initialized.

    `forward(x, features)` adds `features`, (B, hidden, H, W), to the output of the first
    convolution, which is equivalent to a first convolution over x and a condition concatenated. So
    the owner can compute the condition's part for all steps at once, and only once for all
    candidates. With `in_channels=0` there is no x, and the net reads only the condition.

    Shapes: x (B, in, H, W) or None -> (B, out, H, W), in the dtype that `Conv` computes in.
    """

    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.first = Conv(in_channels, hidden, 3) if in_channels else None
        self.second = Conv(hidden, hidden, 1)
        self.last = Conv(hidden, out_channels, 3)
        for conv in (self.first, self.second):
            if conv is not None:
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        nn.init.zeros_(self.last.weight)

    def forward(self, x: Tensor | None, features: Tensor | None = None) -> Tensor:
        if x is None or self.first is None:
            assert features is not None, "a net without input needs features"
            hidden = F.relu(features)
        elif features is None:
            hidden = self.first(x, relu=True)
        else:
            hidden = self.first(x)
            hidden = hidden.add_(per_candidate(features, hidden.shape[0])).relu_()
        return self.last(self.second(hidden, relu=True))  # type: ignore[no-any-return]

    def forward_parts(
        self, x: Tensor, features: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """`forward` of a net that reads an x, and what `net_backward` needs: x, the outputs of both
        ReLUs, the weights."""
        dtype = self.last.dtype
        x = x.to(dtype)
        first, bias_1, second, bias_2, last, bias_3 = (t.to(dtype) for t in self.parameters())
        hidden_1 = conv2d(x, first, bias_1, relu=features is None)
        if features is not None:
            hidden_1.add_(per_candidate(features, x.shape[0])).relu_()
        hidden_2 = conv2d(hidden_1, second, bias_2, relu=True)
        y = conv2d(hidden_2, last, bias_3)
        return y, (x, hidden_1, hidden_2, first, second, last)


def net_backward(parts: Sequence[Tensor], grad: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """The gradients for x, for the features of each candidate, and for the net's parameters."""
    x, hidden_1, hidden_2, first, second, last = parts
    grad_2 = mask(data_gradient(grad, hidden_2, last), hidden_2)
    grad_1 = mask(data_gradient(grad_2, hidden_1, second), hidden_1)
    weights = [
        *weight_gradients(grad_1, x, first),
        *weight_gradients(grad_2, hidden_1, second),
        *weight_gradients(grad, hidden_2, last),
    ]
    return data_gradient(grad_1, x, first), grad_1, weights


class Residual(nn.Module):
    """`h + conv(ReLU(conv(ReLU(h))))`, 3×3 and 1×1; the branch is initialized to be small.

    Args:
        width: Channels.
        coarse: Whether the branch works at half the resolution, with twice the receptive field.
        norm: Whether the branch reads h scaled by `unit_rms`.

    Shapes: (B, width, H, W) -> the same.
    """

    def __init__(self, width: int, *, coarse: bool = False, norm: bool = False) -> None:
        super().__init__()
        self.coarse = coarse
        self.norm = norm
        self.first = Conv(width, width, 3)
        self.second = Conv(width, width, 1)
        init_normal(self.first, 2**0.5)
        init_normal(self.second, 0.1)

    def forward(self, h: Tensor) -> Tensor:
        x = F.relu(unit_rms(h) if self.norm else h)
        if self.coarse:  # the last pixels of an odd side are averaged separately
            x = F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)
        x = self.second(self.first(x, relu=True))
        if self.coarse:
            x = F.interpolate(x, size=h.shape[-2:], mode="nearest")
        return h + x


class Trunk(nn.Module):
    """A net that reads the condition for all steps of a function, instead of one net per step.

    It follows the convolution that embeds the condition. It has residual blocks, every other one at
    half the resolution, and two 1×1 heads: one for the condition's features in all couplings' nets,
    the other (zero-initialized) for scale and bias of all injectors. All steps share its cost, so
    the trunk can have more layers and a larger receptive field than one net per step. What depends
    on the condition alone is computed once per image, not once per candidate.

    Args:
        width: Channels of h.
        blocks: Number of residual blocks.
        features: Channels of the couplings' features, over all steps.
        injections: Channels of (raw, b), over all steps.
        norm: Whether blocks and heads read h scaled by `unit_rms`. Without it, training may leave
            large values that cancel for all conditions but unusual ones.

    Shapes: h (B, width, H, W) -> (B, features, H, W), (B, injections, H, W).
    """

    def __init__(
        self, width: int, blocks: int, features: int, injections: int, *, norm: bool = False
    ) -> None:
        super().__init__()
        self.norm = norm
        self.blocks = nn.Sequential(
            *(Residual(width, coarse=i % 2 == 1, norm=norm) for i in range(blocks)),
        )
        self.features = Conv(width, features, 1)
        self.injections = Conv(width, injections, 1)
        init_normal(self.features, 2**0.5)
        init_normal(self.injections, 0.0)

    def forward(self, h: Tensor) -> tuple[Tensor, Tensor]:
        h = self.blocks(h)
        h = F.relu(unit_rms(h) if self.norm else h)
        return self.features(h), self.injections(h)


def unit_rms(h: Tensor) -> Tensor:
    """Divide the channels of every pixel by their root mean square: (B, C, H, W)."""
    return h * torch.rsqrt(h.square().mean(1, keepdim=True) + 1e-6)


def init_normal(conv: Conv, gain: float) -> None:
    """Draw weights with standard deviation `gain / sqrt(fan-in)`."""
    fan_in = conv.weight[0].numel()
    nn.init.normal_(conv.weight, std=gain * fan_in**-0.5)
