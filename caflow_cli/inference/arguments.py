"""Images and masks as users of Python have them: paths, PIL images and arrays."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from ..errors import check_usage, usage_error
from ..images import Decoded, decode, read_image
from ..model import CAFlow
from ..tasks import Pixels, grey

ImageLike: TypeAlias = "str | Path | Image.Image | Decoded | np.ndarray[Any, Any]"

# What PNG and TIFF hold as they are, and what others become so that they keep their alpha.
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
_TIFF_MODES = ("I", "F", "CMYK", "LAB")
_STRAIGHT = {"La": "LA", "RGBa": "RGBA", "PA": "RGBA"}
_WANTED = "give a path, a PIL image, or an array, uint8 (H, W, 3)"


def as_image(image: ImageLike) -> Pixels:
    """Bring an image to uint8 (H, W, 3).

    A file and a PIL image are read as the command line reads files: EXIF orientation and colour
    profile are applied. Transparency is dropped.

    Args:
        image: A path, a PIL image, a `Decoded`, or an array: uint8 (H, W, 3), or grey, (H, W) or
            (H, W, 1).

    Raises:
        CaflowError: (exit 2) the array has another shape or type. (exit 1) the file is no image.
    """
    if isinstance(image, str | Path):
        return read_image(image)
    if isinstance(image, Image.Image):
        return _from_pil(image)
    if isinstance(image, Decoded):
        return image.rgb
    if not isinstance(image, np.ndarray):
        raise usage_error(f"an image is a {type(image).__name__}", _WANTED)
    check_usage(image.dtype == np.uint8, f"an image is an array of {image.dtype}", _WANTED)
    shape = image.shape
    image = image[..., None] if image.ndim == 2 else image
    fits = image.ndim == 3 and image.shape[2] in (1, 3) and image.size > 0
    check_usage(fits, f"an image is an array of shape {shape}", _WANTED)
    return np.repeat(image, 3, 2) if image.shape[2] == 1 else image


def as_mask(mask: ImageLike | None) -> Pixels | None:
    """Bring a mask to grey, uint8 (H, W), white where it is to be filled; None stays None.

    Args:
        mask: A path, a PIL image, or an array: uint8 or bool (H, W), or uint8 (H, W, 3).

    Raises:
        CaflowError: As for `as_image`.
    """
    if mask is None:
        return None
    if isinstance(mask, np.ndarray) and mask.dtype == np.bool_:
        mask = np.where(mask, np.uint8(255), np.uint8(0))
    if isinstance(mask, np.ndarray) and mask.dtype == np.uint8 and mask.ndim == 2:
        return mask
    return grey(as_image(mask))


def is_exact(image: ImageLike) -> bool:
    """Whether an image has the very values that it was written with: no JPEG, say, no alpha."""
    image = decode(image) if isinstance(image, str | Path) else image
    format, alpha = (getattr(image, name, None) for name in ("format", "alpha"))
    return alpha is None and (not format or format in ("PNG", "TIFF", "BMP", "PPM"))


def seen_by(model: CAFlow, image: Decoded) -> Pixels:
    """The colours of an image that go into a model's condition: uint8 (H, W, 3).

    If the image is to be enlarged, colours of nearly transparent edges are replaced.
    """
    return image.seen(faint=model.config.task.name == "superres")


def _from_pil(image: Image.Image) -> Pixels:
    # By way of a file, so that there is one policy for turns, profiles, depths and palettes.
    check_usage(all(image.size), f"an image has {image.width}×{image.height} pixels", _WANTED)
    # The values of a PGM are of 16 bits, though its mode has 32.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        plain = Image.fromarray(np.asarray(image).astype(np.uint16))
    elif image.mode in _PNG_MODES or image.mode in _TIFF_MODES:
        plain = image
    else:
        plain = image.convert(_STRAIGHT.get(image.mode, "RGB"))
    file, profile = io.BytesIO(), image.info.get("icc_profile")
    format = "TIFF" if plain.mode in _TIFF_MODES else "PNG"
    plain.save(file, format, exif=image.getexif(), icc_profile=profile, compress_level=1)
    file.seek(0)
    return read_image(file, name="an image")
