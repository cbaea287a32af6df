"""Sizes of images: padding, the size at model scale, and checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import Extent
from ..errors import ensure
from ..images import LARGE, Pixels


def check_same_size(what: str, size: Sequence[int], image: Sequence[int]) -> None:
    """Raise CaflowError (exit 1) unless `what`, "the mask is", has the image's height and width."""
    h, w = size[:2]
    height, width = image[:2]
    ensure(
        (h, w) == (height, width),
        f"{what} {w}x{h}, the image {width}x{height}",
        f"give a file of {width}x{height}",
    )


def check_size(
    image: Pixels,
    size: Extent,
    most: int = LARGE,
    hint: str = "restore a part with --crop X,Y,WxH, or shrink the image first",
) -> None:
    """Raise CaflowError for an image of which the model would draw more than `most` pixels, too
    many to be drawn in reasonable time."""
    height, width = size
    ensure(
        height * width <= most,
        f"the image is {image.shape[1]}x{image.shape[0]}, and the model would draw {width}×{height}"
        f", {height * width / 1e6:.0f} megapixels: more than {most / 1e6:.0f}",
        hint,
    )


def pad(image: npt.NDArray[Any], multiple: int) -> npt.NDArray[Any]:
    """Pad (H, W) or (H, W, C) by reflection at the right and bottom until both sides are multiples.

    A side of one pixel is padded by repetition.
    """
    return extend(image, padded_size(image.shape[0], image.shape[1], multiple))


def extend(image: npt.NDArray[Any], size: Extent) -> npt.NDArray[Any]:
    """Extend (H, W) or (H, W, C) by reflection at the right and bottom to that height and width."""
    if image.shape[:2] == size:
        return image
    height, width = image.shape[:2]
    beyond = [(0, size[0] - height), (0, size[1] - width), (0, 0)]
    return np.pad(image, beyond[: image.ndim], "reflect")  # repeats a single pixel


def padded_size(height: int, width: int, multiple: int) -> Extent:
    """The height and width of the result of `pad`."""
    return height + -height % multiple, width + -width % multiple


def scaled_size(image: Pixels, size: int) -> Extent:
    """Height and width of an image resized so that its shorter side is `size`; keeps the aspect."""
    height, width = image.shape[:2]
    short = min(height, width)
    scaled_height = (2 * height * size + short) // (2 * short)
    scaled_width = (2 * width * size + short) // (2 * short)
    return scaled_height, scaled_width


def check_target(
    image: Pixels,
    target: Pixels,
    wanted: tuple[int, ...],
    because: str = "the size of the condition",
) -> None:
    """Raise CaflowError (exit 1) unless the target has the height and width `wanted`."""
    height, width = image.shape[:2]
    h, w = target.shape[:2]
    ensure(
        (h, w) == wanted,
        f"the target is {w}x{h}, the condition {width}x{height}",
        f"give a target of {wanted[1]}x{wanted[0]}, {because}",
    )
