"""Conversion of colour spaces to sRGB."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms

__all__ = ["to_srgb"]


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert a picture of mode L, RGB, CMYK or LAB to RGB in sRGB.

    Without a profile RGB is taken as sRGB, L as its grey, CMYK by Pillow's formula. A profile that
    is sRGB up to rounding leaves the pixels as they are; a broken one is ignored.
    """
    if picture.mode == "LAB":
        return _transform(picture, ImageCms.createProfile("LAB"))
    if profile:
        with contextlib.suppress(OSError, ValueError, ImageCms.PyCMSError):
            return _transform(picture, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
    return picture.convert("RGB")


def _transform(picture: Image.Image, profile: Any) -> Image.Image:
    """Convert from `profile` to sRGB; no change if the profile is sRGB up to rounding."""
    if picture.mode == "L" and profile.profile.xcolor_space.strip() == "RGB":
        picture = picture.convert("RGB")
    transform = ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        picture.mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    if picture.mode in ("RGB", "L"):
        probe = Image.fromarray(_PROBE).convert(picture.mode)
        moved = ImageCms.applyTransform(probe, transform)
        if moved is not None:
            change = np.asarray(moved, np.int16) - np.asarray(probe.convert("RGB"), np.int16)
            if np.abs(change).max() <= 2:
                return picture.convert("RGB")
    converted = ImageCms.applyTransform(picture, transform)
    assert converted is not None  # only in-place calls give None
    return converted


# Every colour of a 9 x 9 x 9 lattice, as a picture of 27 x 27.
_PROBE = np.stack(np.meshgrid(*[np.linspace(0, 255, 9).astype(np.uint8)] * 3), -1).reshape(
    27, 27, 3
)
