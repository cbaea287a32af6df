"""Metrics that are a formula."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import CaflowError

__all__ = ["check_pairs", "rmse"]


def check_pairs(images: Tensor, references: Tensor) -> None:
    """CaflowError unless both are uint8 (B, 3, H, W) of one shape."""
    if images.shape != references.shape or images.ndim != 4 or images.shape[1] != 3:
        raise CaflowError(
            f"images {tuple(images.shape)} against references {tuple(references.shape)}",
            "pass two batches (B, 3, H, W) of one shape",
        )
    for batch in (images, references):
        if batch.dtype != torch.uint8:
            raise CaflowError(f"images are {batch.dtype}", "pass uint8 images, 0-255")


def rmse(images: Tensor, references: Tensor) -> Tensor:
    """Root mean square error of each image, in levels of 0-255: (B,) float64, lower is better.

    A set's figure is the mean of these over its images (paper table 1).

    Args:
        images, references: uint8 (B, 3, H, W).
    """
    check_pairs(images, references)
    return (images.double() - references.double()).square().flatten(1).mean(1).sqrt()
