"""The convolution of all layers: one rounding, whatever the batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["conv2d"]


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, padding: int = 0) -> Tensor:
    """`F.conv2d`, with the same result for an image alone as in a batch.

    On a CPU, PyTorch sends a single small image to another kernel, which rounds differently. A
    flow's inverse can amplify that to whole grey levels, and a draw must not depend on how many
    are drawn at once: a single image runs as a batch of two.
    """
    if x.shape[0] == 1 and x.device.type == "cpu":
        return F.conv2d(torch.cat([x, x]), weight, bias, padding=padding)[:1]
    return F.conv2d(x, weight, bias, padding=padding)
