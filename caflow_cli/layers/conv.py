"""The convolution of all layers, whose rounding does not depend on the batch size."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..devices import convolves_bf16, to_layout


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, relu: bool = False) -> Tensor:
    """Same-size `F.conv2d`, with an optional ReLU, that rounds one image like a batch.

    On a CPU, PyTorch dispatches a single small image to another kernel, which rounds differently.
    A flow's inverse can amplify that to whole gray levels. Samples must not depend on the batch
    size, so a single image runs as a batch of two.
    """
    padding = weight.shape[-1] // 2
    if x.shape[0] == 1 and x.device.type == "cpu":
        y = F.conv2d(torch.cat([x, x]), weight, bias, padding=padding)[:1]
    else:
        y = F.conv2d(x, weight, bias, padding=padding)
    return y.relu_() if relu else y


class FixedConv(nn.Module):
    """`conv2d` with constant weights, for inference only; it has no parameters.

    On a CPU, float32 and bfloat16 weights are cached in oneDNN's layout for the last two input
    shapes, because a batch and a single image often alternate. `F.conv2d` would reorder them in
    every call. A single image is rounded as in a batch.

    Shapes: x (B, in, H, W) -> (B, out, H, W), in the weights' dtype.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.weight = to_layout(weight.detach())
        self.bias = None if bias is None else bias.detach().clone()
        # These operations are internal, meant for code that `torch.compile` generates. If they are
        # missing, `conv2d` does the same.
        self._packable = (
            weight.device.type == "cpu"
            and (
                weight.dtype == torch.float32
                or (weight.dtype == torch.bfloat16 and convolves_bf16(weight.device))
            )
            and torch.backends.mkldnn.is_available()
            and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
            and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")
        )
        self._packed: dict[torch.Size, Tensor] = {}
        self.eval()

    def in_bf16(self) -> FixedConv:
        """Return a copy in bfloat16."""
        bias = None if self.bias is None else self.bias.bfloat16()
        return FixedConv(self.weight.bfloat16(), bias)

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        x = x.to(self.weight.dtype)
        if not self._packable:
            return conv2d(x, self.weight, self.bias, relu)
        pad = [self.weight.shape[-1] // 2] * 2
        unit = [1, 1]  # stride and dilation
        weight = self._packed.get(x.shape)
        if weight is None:
            # Per shape: with the layout for another shape, oneDNN can be ten times slower.
            weight = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, pad, unit, unit, 1, list(x.shape)
            )
            if len(self._packed) == 2:
                del self._packed[next(iter(self._packed))]
            self._packed[x.shape] = weight
        then = "relu" if relu else "none"
        y: Tensor = torch.ops.mkldnn._convolution_pointwise(
            x, weight, self.bias, pad, unit, unit, 1, then, [], ""
        )
        return y
