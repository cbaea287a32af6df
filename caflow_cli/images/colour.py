"""Conversion of colour spaces to sRGB."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageCms

__all__ = ["srgb_converter"]


def srgb_converter(mode: str, profile: bytes | None) -> Callable[[Image.Image], Image.Image]:
    """A function that converts images of mode L, RGB, CMYK or LAB to RGB in sRGB.

    Without a profile RGB is taken as sRGB, L as its grey, CMYK by Pillow's formula. A profile that
    is sRGB up to rounding leaves the pixels as they are; a broken one is ignored.
    """

    def plain(image: Image.Image) -> Image.Image:
        return image.convert("RGB")

    if mode != "LAB" and not profile:
        return plain
    try:
        source: Any = ImageCms.createProfile("LAB")
        if mode != "LAB" and profile:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if mode == "L" and source.profile.xcolor_space.strip() == "RGB":
                mode = "RGB"
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ValueError, ImageCms.PyCMSError):
        return plain

    def transformed(image: Image.Image) -> Image.Image:
        image = image if image.mode == mode else image.convert(mode)
        converted = ImageCms.applyTransform(image, transform)
        assert converted is not None  # only in-place calls return None
        return converted

    if mode in ("RGB", "L"):
        probe = Image.fromarray(_PROBE).convert(mode)
        change = np.asarray(transformed(probe), np.int16) - np.asarray(plain(probe), np.int16)
        if np.abs(change).max() <= 2:
            return plain
    return transformed


# All colours of a 9 x 9 x 9 grid, as an image of 27 x 27.
_PROBE = np.stack(np.meshgrid(*[np.linspace(0, 255, 9).astype(np.uint8)] * 3), -1).reshape(
    27, 27, 3
)
