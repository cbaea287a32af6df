"""The perceptual distance that guides learn from: LPIPS with VGG16."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ..devices import memory_format
from ..errors import EXIT_USAGE, CaflowError
from ..perceptual import LEAST_SIDE, VGG, load_perceptual
from .objective import Perceptual

__all__ = ["perceptual_distance"]


def perceptual_distance(
    weights: str | Path | None, device: torch.device, side: int, bf16: bool = True
) -> Perceptual:
    """LPIPS (VGG16) of pairs of pictures in [-1, 1], differentiable: (B, 3, H, W) to (B,) float32.

    AlexNet, which judges (`caflow evaluate --metric lpips`), is not in it.

    Args:
        weights: Of the trunk (`load_perceptual`).
        device: Of the pictures.
        side: Of the pictures, in pixels.
        bf16: Compute the network in bfloat16.

    Raises:
        CaflowError: (exit 2) the pictures are too small for VGG16. (exit 3) no trunk to be had.
    """
    if side < LEAST_SIDE:
        raise CaflowError(
            f"VGG16 cannot look at pictures of {side} pixels",
            "--set optim.guide_perceptual=0 and samples.perceptual=0, or a task.size of "
            f"{LEAST_SIDE} or more",
            EXIT_USAGE,
        )
    network = load_perceptual(VGG, weights).to(device, memory_format=memory_format(device))

    def distance(x: Tensor, w: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            result: Tensor = network(x.float(), w.float())
        return result.float().flatten()

    return distance
