"""Checks of a model's inputs. Each error says what is wrong, and what to pass instead."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import CaflowError

__all__ = ["check_batch", "check_image", "check_size", "check_uint8"]


def check_image(image: Tensor, what: str, channels: int, multiple: int) -> None:
    """CaflowError unless the image is (B, channels, H, W) with sides that are multiples."""
    if image.ndim != 4 or image.shape[1] != channels or not image.numel():
        raise CaflowError(
            f"the {what} has shape {tuple(image.shape)}", f"pass (B, {channels}, H, W)"
        )
    height, width = image.shape[-2:]
    if height % multiple or width % multiple:
        raise CaflowError(
            f"the {what} is {width}×{height} pixels", f"pad its sides to multiples of {multiple}"
        )


def check_uint8(image: Tensor, what: str) -> None:
    """CaflowError unless the image is uint8."""
    if image.dtype != torch.uint8:
        raise CaflowError(
            f"the {what} is {image.dtype}, not uint8",
            "pass 8-bit images; encode takes a target at a float point",
        )


def check_size(target: Tensor, size: tuple[int, int]) -> None:
    """CaflowError unless the target has the condition's height and width."""
    if tuple(target.shape[-2:]) != size:
        raise CaflowError(
            f"targets have {tuple(target.shape[-2:])} pixels, conditions {size}",
            "pass a condition of the target's size",
        )


def check_batch(batch: int, conditions: int) -> None:
    """CaflowError unless all conditions have equally many targets."""
    if batch % conditions:
        raise CaflowError(
            f"{batch} targets for {conditions} conditions",
            "pass one condition an image, with equally many neighbouring targets each",
        )
