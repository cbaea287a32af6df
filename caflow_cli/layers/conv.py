"""The convolution of all layers, whose rounding does not depend on the batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..devices import to_layout

__all__ = ["FixedConv", "conv2d"]


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int = 0) -> Tensor:
    """`F.conv2d`, with the same result for a single image as for one in a batch.

    On a CPU, PyTorch sends a single small image to another kernel, which rounds differently. A
    flow's inverse can amplify that to whole grey levels. A draw must not depend on the batch, so a
    single image runs as a batch of two.
    """
    if x.shape[0] == 1 and x.device.type == "cpu":
        return F.conv2d(torch.cat([x, x]), weight, bias, padding=padding)[:1]
    return F.conv2d(x, weight, bias, padding=padding)


class FixedConv(nn.Module):
    """`conv2d` with constant weights, for inference only; it has no parameters.

    On a CPU, float32 and bfloat16 weights are kept in oneDNN's layout for the last two input
    shapes, because a batch and a single image often take turns. `F.conv2d` would rearrange them in
    every call. A single image is rounded as in a batch.

    Shapes: x (B, in, H, W) -> (B, out, H, W), in the weights' type.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.padding = weight.shape[-1] // 2
        self.weight = to_layout(weight.detach())
        self.bias = None if bias is None else bias.detach().clone()
        self._packable = _has_packed_convolutions(self.weight)
        self._packed: dict[torch.Size, Tensor] = {}
        self.eval()

    def in_bf16(self) -> FixedConv:
        """Itself in bfloat16."""
        bias = None if self.bias is None else self.bias.bfloat16()
        return FixedConv(self.weight.bfloat16(), bias)

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        x = x.to(self.weight.dtype)
        if not self._packable or torch.compiler.is_compiling():
            plain = conv2d(x, self.weight, self.bias, self.padding)
            return plain.relu_() if relu else plain
        pad, one = [self.padding] * 2, [1, 1]
        weight = self._packed.get(x.shape)
        if weight is None:
            # By the shape: with the layout for another one oneDNN can be ten times slower.
            weight = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, pad, one, one, 1, list(x.shape)
            )
            if len(self._packed) == 2:
                del self._packed[next(iter(self._packed))]
            self._packed[x.shape] = weight
        then = "relu" if relu else "none"
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, weight, self.bias, pad, one, one, 1, then, [], ""
        )
        return y


def _has_packed_convolutions(weight: Tensor) -> bool:
    """Whether PyTorch can compute with packed weights through oneDNN.

    The operations exist for code that `torch.compile` generates, and are not part of the public
    interface. Without them, `conv2d` does the same.
    """
    return (
        weight.device.type == "cpu"
        and weight.dtype in (torch.float32, torch.bfloat16)
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")
    )
