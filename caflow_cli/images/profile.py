"""Color profiles: which a result keeps, and what its values look like in sRGB.

A profile is kept if it is a matrix of RGB or a gray, with a curve like a display's: sRGB, Display
P3, Adobe RGB, ProPhoto, gray gamma. Models see encoded values, and theirs are like those of sRGB.
Linear profiles, tables of colors, CMYK and LAB are converted.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

_MOST = 2**18  # bytes of a profile that is kept
_SPACES = {"RGB": "RGB", "L": "GRAY"}  # of ICC, by Pillow's mode
# All colors of a 9 x 9 x 9 grid, as an image of 27 x 27.
_GRID = np.linspace(0, 255, 9).astype(np.uint8)
_PROBE = np.stack(np.meshgrid(_GRID, _GRID, _GRID), -1).reshape(27, 27, 3)
# Least and largest lightness (CIE L*) of grays 64 and 128: those of gammas 1.5 to 2.8.
_GRAYS = np.array([[64, 128]], np.uint8)
_LIGHTNESS = ((15, 42), (45, 66))


Converter: TypeAlias = Callable[[Image.Image], Image.Image]  # to sRGB


def converter(mode: str, profile: bytes | None) -> Converter | None:
    """Make a function that converts images of mode L, RGB, CMYK or LAB to sRGB.

    None without a profile, with one that is sRGB up to rounding, and with a broken one. Then RGB is
    taken as sRGB, L as its gray, and CMYK is converted by Pillow's formula.
    """
    try:
        if mode == "LAB":
            source: Any = ImageCms.createProfile("LAB")
        elif profile:
            source = _parsed(profile)
            if mode == "L" and source.profile.xcolor_space.strip() == "RGB":
                mode = "RGB"
        else:
            return None
        transform = _transform(source, ImageCms.createProfile("sRGB"), mode)
    except (OSError, ValueError, ImageCms.PyCMSError):
        return None

    def transformed(image: Image.Image) -> Image.Image:
        return transform.apply(image.convert(mode))

    if mode in ("RGB", "L"):
        probe = Image.fromarray(_PROBE).convert(mode)
        converted = np.asarray(transformed(probe), np.int16)
        if np.abs(converted - np.asarray(probe.convert("RGB"))).max() <= 2:
            return None
    return transformed


def _parsed(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


def _transform(source: Any, target: Any, mode: str) -> ImageCms.ImageCmsTransform:
    """From colors of a mode to RGB."""
    return ImageCms.buildTransform(
        source,
        target,
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def is_kept(mode: str, profile: bytes | None) -> bool:
    """Whether a result keeps this profile of an image of mode L or RGB."""
    if not profile or len(profile) > _MOST or mode not in _SPACES:
        return False
    try:
        source = _parsed(profile)
        about = source.profile
        tables = [from_device for from_device, _, _ in (about.clut or {}).values()]
        if about.xcolor_space.strip() != _SPACES[mode] or not about.is_matrix_shaper or any(tables):
            return False
        lab = ImageCms.createProfile("LAB")
        intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
        transform = ImageCms.buildTransform(source, lab, mode, "LAB", intent)
        grays = transform.apply(Image.fromarray(_GRAYS).convert(mode))
    except (OSError, ValueError, ImageCms.PyCMSError):
        return False
    lightness = np.asarray(grays.getchannel("L"))[0] * (100 / 255)
    return all(
        least <= value <= most for value, (least, most) in zip(lightness, _LIGHTNESS, strict=True)
    )


def from_srgb(colors: npt.NDArray[np.uint8], profile: bytes) -> npt.NDArray[np.uint8]:
    """The values, uint8 (H, W, 3), that look in a kept profile of RGB like sRGB colors."""
    transform = _transform(ImageCms.createProfile("sRGB"), _parsed(profile), "RGB")
    return np.asarray(transform.apply(Image.fromarray(colors)))


def convert_deep(
    values: npt.NDArray[Any], source: bytes | None, target: bytes | None
) -> npt.NDArray[Any]:
    """Convert uint16 or float32 (H, W, 1 or 3) between profiles; None is sRGB.

    The result has three channels, which are equal if one of the profiles is of grays.
    """
    import imagecodecs

    kinds = ["gray" if is_of_grays(profile) else "rgb" for profile in (source, target)]
    if kinds[0] == "gray":
        values = values[..., 0]
    elif values.shape[2] == 1:
        values = np.repeat(values, 3, 2)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    result = imagecodecs.cms_transform(
        np.ascontiguousarray(values),
        source or srgb,
        target or srgb,
        colorspace=kinds[0],
        outcolorspace=kinds[1],
        intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
        flags=imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION,
    )
    if "gray" not in kinds:
        return np.asarray(result)
    one = result[..., 1] if kinds[1] == "rgb" else result
    return np.repeat(one[..., None], 3, 2)


def is_of_grays(profile: bytes | None) -> bool:
    """Whether a profile is of grays."""
    if profile is None:
        return False
    return bool(_parsed(profile).profile.xcolor_space.strip() == "GRAY")


def converts_back(profile: bytes) -> bool:
    """Whether all colors of sRGB, as floats, have values in a profile that look the same."""
    probe = (_PROBE[..., :1] if is_of_grays(profile) else _PROBE) / np.float32(255)
    try:
        there = convert_deep(probe, None, profile).clip(0, 1)
        again = convert_deep(there, profile, None)
    except RuntimeError:  # of imagecodecs
        return False
    return bool(np.abs(again - probe).max() < 0.5 / 255)
