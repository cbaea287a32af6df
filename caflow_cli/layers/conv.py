"""The convolution of all layers: one rounding, whatever the batch; and its inference form."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..devices import laid_out

__all__ = ["FixedConv", "conv2d"]


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int = 0) -> Tensor:
    """`F.conv2d`, with the same result for an image alone as in a batch.

    On a CPU, PyTorch sends a single small image to another kernel, which rounds differently. A
    flow's inverse can amplify that to whole grey levels, and a draw must not depend on how many
    are drawn at once: a single image runs as a batch of two.
    """
    if x.shape[0] == 1 and x.device.type == "cpu":
        return F.conv2d(torch.cat([x, x]), weight, bias, padding=padding)[:1]
    return F.conv2d(x, weight, bias, padding=padding)


class FixedConv(nn.Module):
    """`conv2d` with weights that no longer change, for inference alone: it has no parameters.

    On a CPU float32 weights are kept in the layout that oneDNN wants for the last two shapes of
    input, as where a batch and a single image take turns; `F.conv2d` brings them into it in every
    call. A single image is rounded as in a batch.

    Shapes: x (B, in, H, W) -> (B, out, H, W), the size kept, in the weights' type.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.padding = weight.shape[-1] // 2
        self.weight = laid_out(weight.detach())
        self.bias = None if bias is None else bias.detach().clone()
        self._packable = _has_packed_convolutions(self.weight)
        self._packed: dict[torch.Size, Tensor] = {}
        self.eval()

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
    """Whether oneDNN computes with such weights, and PyTorch hands it packed ones.

    It does for code that `torch.compile` makes; the operations are not part of its public
    interface. Without them `conv2d` does the same.
    """
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.float32
        and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")
    )
