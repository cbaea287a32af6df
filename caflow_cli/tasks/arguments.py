"""Convert images and masks from Python callers: paths, PIL images, arrays and tensors."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from ..config import HOLE
from ..errors import EXIT_USAGE, check_usage, usage_error
from ..fields import as_field
from ..images import Input, Pixels, Raster, decode, in_8_bits, stores_losslessly
from ..images.ranges import Range, check_in_range, stated_range
from ..images.read import table_of
from . import gray
from .base import white

ImageLike: TypeAlias = "str | Path | Image.Image | Input | np.ndarray[Any, Any] | Tensor"

# Modes that PNG and TIFF can store, and the mode that preserves the alpha of each other one.
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
_TIFF_MODES = ("I", "F", "CMYK", "LAB")
_STRAIGHT = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}
_WANTED = "pass a path, a PIL image, a uint8 or uint16 array (H, W, 3), or a tensor (3, H, W)"


def as_image(
    image: ImageLike,
    value_range: tuple[float, float] | None = None,
    alpha: bool | None = None,
) -> Pixels:
    """Convert an image to uint8 (H, W, 3), sRGB.

    Files and PIL images are read as the command line reads files: EXIF orientation and color
    profile are applied. Alpha is dropped.

    Args:
        image: A path, a PIL image, an array (H, W, C) or (H, W), or a tensor (C, H, W) or (H, W),
            with 1 or 3 channels, and with `alpha` one more: uint8, uint16, or with `value_range`
            also floats and other integers.
        value_range: The values of black and white, such as (0, 1) or (-1, 1) of floats, or
            (0, 4095) of 12 bits. Alpha has the range of its type, and 0 to 1 in floats.
        alpha: Whether the last of 2 or 4 channels is transparency. Files say so themselves; of a
            TIFF that does not, false keeps the last channel as it is. None: both are refused.

    Raises:
        CaflowError: (exit 2) the array has another shape or type, or values outside the range.
            (exit 1) the file is not an image.
    """
    return as_input(image, value_range, alpha).image.shown


def as_input(
    image: ImageLike,
    value_range: tuple[float, float] | None = None,
    alpha: bool | None = None,
    unit: str | None = None,
) -> Input:
    """Convert an image like `as_image`, but keep its depth, profile and alpha, as `decode` does.

    With a `unit`, it is a field in it: see `as_field`.
    """
    if unit is not None:
        for name, value in (("value_range", value_range), ("alpha", alpha)):
            check_usage(value is None, f"a model of fields takes no {name}", "leave it out")
    stated = stated_range(value_range)
    if isinstance(image, Input):
        return image
    if unit is not None:
        return as_field(image, unit=unit)
    if isinstance(image, str | Path):
        return decode(image, alpha=alpha, value_range=stated)
    if isinstance(image, Image.Image):
        return replace(
            _from_pil(image, stated),
            format=image.format or "",
            lossless=stores_losslessly(image),
            table=table_of(image),
        )
    if isinstance(image, Tensor):
        values = image.detach().cpu()
        if values.is_floating_point():
            values = values.float()  # NumPy has no bfloat16
        pixels = values.permute(1, 2, 0) if values.ndim == 3 else values
        return _from_array(pixels.numpy(), tuple(image.shape), stated, alpha)
    if not isinstance(image, np.ndarray):
        kind = type(image).__name__
        is_field = kind == "DataArray"
        hint = "a model of fields, such as load('rain-superres-x4')" if is_field else _WANTED
        raise usage_error(f"an image cannot be a {kind}", hint)
    return _from_array(image, image.shape, stated, alpha)


def _from_array(
    image: npt.NDArray[Any],
    shape: tuple[int, ...],
    value_range: Range | None,
    alpha: bool | None,
) -> Input:
    """Convert (H, W), or (H, W, C) with 1 to 4 channels; `shape` is that of the argument."""
    if image.ndim == 2:
        image = image[..., None]
    fits = image.ndim == 3 and image.shape[2] in (1, 2, 3, 4) and image.size > 0
    check_usage(fits, f"an image cannot have shape {shape}", _WANTED)
    has_more = image.shape[2] in (2, 4)
    check_usage(
        alpha or not has_more,
        f"an image has shape {shape}, whose last channel may be anything",
        "alpha=True if it is transparency; else pass the 1 or 3 bands that are an image",
    )
    is_float = image.dtype.kind == "f"
    check_usage(
        not is_float or value_range is not None,
        f"an image is an array of {image.dtype} without a stated range",
        "value_range=(0, 1), or another",
    )
    is_stored = is_float or image.dtype in (np.uint8, np.uint16)
    is_number = value_range is not None and image.dtype.kind in "iu" and not has_more
    check_usage(is_stored or is_number, f"an image cannot have type {image.dtype}", _WANTED)
    colors = image[..., :-1] if has_more else image
    opacity = image[..., -1] if has_more else None
    if value_range is not None:
        check_in_range(colors, value_range, "an array", EXIT_USAGE)
    if opacity is not None and is_float:
        check_in_range(image[..., -1:], (0, 1), "alpha", EXIT_USAGE)
    if is_float:
        colors = colors.astype(np.float32)
        opacity = None if opacity is None else opacity.astype(np.float32)
    if opacity is not None and opacity.min() >= white(opacity):
        opacity = None
    is_gray = colors.shape[2] == 1
    colors = np.repeat(colors, 3, 2) if is_gray else np.ascontiguousarray(colors)
    return Input(Raster(colors, alpha=opacity, value_range=value_range), gray=is_gray)


def as_mask(mask: ImageLike | None) -> Pixels | None:
    """Convert a mask to gray, uint8 (H, W), white where the image is to be filled; None stays None.

    Transparent pixels are black.

    Args:
        mask: A path, a PIL image, or an array or tensor: uint8, uint16 or bool (H, W), or uint8 or
            uint16 (H, W, 3), or (H, W, 4) with transparency.

    Raises:
        CaflowError: As for `as_image`.
    """
    if mask is None:
        return None
    if isinstance(mask, Tensor):
        mask = mask.cpu().numpy().squeeze()
    if isinstance(mask, np.ndarray):
        if mask.dtype == np.bool_:
            mask = np.where(mask, np.uint8(255), np.uint8(0))
        if mask.dtype == np.uint16:
            mask = in_8_bits(mask)
        check_usage(
            mask.dtype == np.uint8,
            f"a mask is an array of {mask.dtype}",
            "give uint8, white (255) where it is to be filled, or bool",
        )
        if mask.ndim == 2:
            return mask
    return drawn_mask(as_input(mask, alpha=True).image)


def drawn_mask(image: Raster) -> Pixels:
    """A mask that is drawn: its gray, uint8 (H, W), black where it is transparent."""
    level = gray(image.shown)
    alpha = image.rounded(8).alpha
    return level if alpha is None else np.where(alpha < HOLE, np.uint8(0), level)


def _from_pil(image: Image.Image, value_range: Range | None) -> Input:
    # Via a file, so that one policy decides on orientation, profiles, bit depths and palettes.
    check_usage(all(image.size), f"an image has {image.width}×{image.height} pixels", _WANTED)
    # A PGM has 16-bit values, although its mode has 32 bits.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        plain = Image.fromarray(np.asarray(image).astype(np.uint16))
    elif image.mode in _PNG_MODES or image.mode in _TIFF_MODES:
        plain = image
    else:
        plain = image.convert(_STRAIGHT.get(image.mode, "RGB"))
    file = io.BytesIO()
    plain.save(
        file,
        "TIFF" if plain.mode in _TIFF_MODES else "PNG",
        exif=image.getexif(),
        icc_profile=image.info.get("icc_profile"),
        compress_level=1,
    )
    file.seek(0)
    return decode(file, name="an image", value_range=value_range)
