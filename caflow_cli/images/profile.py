"""Color profiles: which values models read as they are, and conversions.

A profile is kept if it is a matrix of RGB or a gray, with a curve like a display's: sRGB, Display
P3, Adobe RGB, ProPhoto, gray gamma. Models see encoded values, and theirs are like those of sRGB.
Values of linear profiles and of tables of colors are converted.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from ..errors import CaflowError

_MOST = 2**18  # bytes of a profile that is kept
# All colors of a 9 x 9 x 9 grid, as an image of 27 x 27.
_GRID = np.linspace(0, 255, 9).astype(np.uint8)
_PROBE = np.stack(np.meshgrid(_GRID, _GRID, _GRID), -1).reshape(27, 27, 3)
# Least and largest lightness (CIE L*) of grays 64 and 128: those of gammas 1.5 to 2.8.
_GRAYS = np.array([[64, 128]], np.uint8)
_LIGHTNESS = ((15, 42), (45, 66))
# sRGB in the chunks of a PNG: cICP, gAMA, and x and y of white, red, green and blue in cHRM.
_CICP_SRGB = bytes((1, 13, 0, 1))
_GAMMA = 0.45455
_PRIMARIES = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)


Array: TypeAlias = npt.NDArray[Any]
Converter: TypeAlias = Callable[[Image.Image], Image.Image]  # to sRGB
_STRIP = 2**20  # pixels converted at a time, to bound memory


def strips(height: int, width: int) -> list[slice]:
    """Slices of rows, about a million pixels each, to bound the memory of operations."""
    rows = max(1, _STRIP // width)
    return [slice(top, min(top + rows, height)) for top in range(0, height, rows)]


def converter(mode: str, profile: bytes | None) -> Converter | None:
    """Make a function that converts images of mode L, RGB, CMYK or LAB to sRGB.

    None without a profile, and with one that is sRGB up to rounding. Then RGB is taken as sRGB, L
    as its gray, and CMYK is converted by Pillow's formula.

    Raises:
        ValueError: The profile is broken, or not of that mode.
    """
    if mode != "LAB" and profile is None:
        return None
    try:
        source: Any = ImageCms.createProfile("LAB") if mode == "LAB" else _parsed(profile or b"")
        if mode == "L" and source.profile.xcolor_space.strip() == "RGB":
            mode = "RGB"
        transform = _transform(source, ImageCms.createProfile("sRGB"), mode)
    except (OSError, ImageCms.PyCMSError) as error:
        raise ValueError("a broken profile") from error

    def transformed(image: Image.Image) -> Image.Image:
        return transform.apply(image.convert(mode))

    if mode in ("RGB", "L"):
        probe = Image.fromarray(_PROBE).convert(mode)
        converted = np.asarray(transformed(probe), np.int16)
        if np.abs(converted - np.asarray(probe.convert("RGB"))).max() <= 2:
            return None
    return transformed


def unread_colors(info: Mapping[Any, Any], data: bytes) -> str:
    """What is to be said of a PNG's chunks on its colors, which are not read; empty if nothing is.

    Without a profile, gAMA and cHRM count if there is no sRGB; cICP always does.
    """
    place = data.find(b"cICP", 0, data.find(b"IDAT"))
    if place > 0 and data[place + 4 : place + 8] != _CICP_SRGB:
        return "its colors are stated by cICP, which is not read"
    if info.get("icc_profile") or "srgb" in info:
        return ""
    gamma = info.get("gamma", _GAMMA)
    found = info.get("chromaticity", _PRIMARIES)
    near = [abs(a - b) < 0.002 for a, b in zip(found, _PRIMARIES, strict=True)]
    names = ["gAMA"] * (abs(gamma / _GAMMA - 1) > 0.02) + ["cHRM"] * (not all(near))
    chunks = " and ".join(names)
    return f"its colors are taken as sRGB, without its {chunks}" * bool(names)


def _parsed(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


def _transform(
    source: Any, target: Any, mode: str, made: str = "RGB"
) -> ImageCms.ImageCmsTransform:
    """From colors of a mode to those of another."""
    return ImageCms.buildTransform(
        source,
        target,
        mode,
        made,
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def is_display(profile: bytes) -> bool:
    """Whether models read the values of a profile as they are, and results have it."""
    if len(profile) > _MOST:
        return False
    mode = "L" if is_of_grays(profile) else "RGB"
    try:
        source = _parsed(profile)
        about = source.profile
        tables = [from_device for from_device, _, _ in (about.clut or {}).values()]
        if not about.is_matrix_shaper or any(tables):
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


def is_of_grays(profile: bytes | None) -> bool:
    """Whether a profile is of grays."""
    if profile is None:
        return False
    return bool(_parsed(profile).profile.xcolor_space.strip() == "GRAY")


def convert(values: Array, source: bytes | None, target: bytes | None) -> Array:
    """Convert (H, W, 3) between profiles, at its own type; None is sRGB.

    Channels are equal if one of the profiles is of grays.
    """
    grays = [is_of_grays(profile) for profile in (source, target)]
    given = values[..., 0] if grays[0] else values
    deep = values.dtype != np.uint8
    result = (_converted_deep if deep else _converted)(given, source, target, grays)
    if any(grays):
        one = result if grays[1] else result[..., 1]
        return np.repeat(one[..., None], 3, 2)
    return result


def _converted(
    values: Array, source: bytes | None, target: bytes | None, grays: Sequence[bool]
) -> Array:
    start, end = (_parsed(p) if p else ImageCms.createProfile("sRGB") for p in (source, target))
    transform = _transform(start, end, *("L" if is_gray else "RGB" for is_gray in grays))
    parts = [transform.apply(Image.fromarray(values[rows])) for rows in strips(*values.shape[:2])]
    return np.concatenate([np.asarray(part) for part in parts])


def _converted_deep(
    values: Array, source: bytes | None, target: bytes | None, grays: Sequence[bool]
) -> Array:
    import imagecodecs

    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    kinds = ["gray" if is_gray else "rgb" for is_gray in grays]
    try:
        result = imagecodecs.cms_transform(
            np.ascontiguousarray(values),
            source or srgb,
            target or srgb,
            colorspace=kinds[0],
            outcolorspace=kinds[1],
            intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
            flags=imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION,
        )
    except imagecodecs.CmsError as error:
        message = "the image has a color profile that cannot be applied"
        raise CaflowError(message, "convert it to sRGB first") from error
    return np.asarray(result)


def converts_back(profile: bytes | None) -> bool:
    """Whether what models make of floats has values in a profile that look the same."""
    if profile is None or is_display(profile):
        return True
    probe = _PROBE / np.float32(255)
    if is_of_grays(profile):
        probe[...] = probe[..., :1]
    try:
        there = convert(probe, None, profile).clip(0, 1)
        again = convert(there, profile, None)
    except CaflowError:
        return False
    return bool(np.abs(again - probe).max() < 0.5 / 255)
