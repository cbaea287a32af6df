"""Why a file is not read: the errors, and what is said of samples that a TIFF does not describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import PIL.Image
from PIL import UnidentifiedImageError

from ..errors import CaflowError, ensure

_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")
_COMPLETE = "give a complete PNG, JPEG, WebP, BMP or TIFF file"
SMALLER = "crop or shrink the image first"
DEEP_HINT = 'pip install -e ".[deep]"'
# TIFF tags
_PHOTOMETRIC, _SAMPLES, _EXTRA = 262, 277, 338
_COLORS = {2: 3, 5: 4, 6: 3, 8: 3}  # samples of RGB, CMYK, YCbCr and LAB; else one


def no_file(label: str) -> CaflowError:
    """The error for a file that does not exist."""
    return CaflowError(f"no file {label!r}", "check the path for typos")


def empty(label: str, is_piped: bool) -> CaflowError:
    """The error for a file without content."""
    hint = "see the error of the command before it" if is_piped else _COMPLETE
    return CaflowError(f"{label!r} is empty (0 bytes)", hint)


def damaged(label: str) -> CaflowError:
    """The error for a file that cannot be decoded."""
    return CaflowError(f"{label!r} is damaged or truncated", _COMPLETE)


def unreadable(error: OSError | ValueError, label: str) -> CaflowError:
    """The error for a file whose bytes cannot be read."""
    if isinstance(error, FileNotFoundError):
        return no_file(label)
    if isinstance(error, IsADirectoryError):
        return CaflowError(f"{label!r} is a folder", f"give an image in it: {label}/*")
    reason = getattr(error, "strerror", None) or error
    return CaflowError(f"cannot read {label!r}: {reason}", "check the path and its permissions")


def unopened(error: Exception, data: bytes, label: str) -> CaflowError:
    """The error for a file that Pillow does not open."""
    if isinstance(error, PIL.Image.DecompressionBombWarning | PIL.Image.DecompressionBombError):
        return CaflowError(f"{label!r} has more than {PIL.Image.MAX_IMAGE_PIXELS} pixels", SMALLER)
    begins_well = data.startswith(_MAGIC) or data[4:11] == b"ftypavi"
    if isinstance(error, UnidentifiedImageError) and not begins_well:
        hint = "convert it to PNG, JPEG, WebP, AVIF, BMP, TIFF or GIF"
        return CaflowError(f"{label!r} is not an image", hint)
    return damaged(label)


def check_range(image: PIL.Image.Image, label: str) -> None:
    """Raise CaflowError for gray values of unknown range: floats, integers outside 0 to 65535, and
    integers that might as well be 8-bit values.
    """
    least, largest = cast(tuple[float, float], image.getextrema())
    small = image.mode == "I" and image.format != "PPM" and 0 < largest <= 255
    kind = "floats" if image.mode == "F" else "32-bit integers"
    ensure(
        image.mode != "F" and least >= 0 and largest <= 65535 and not small,
        f"{label!r} holds {kind} of unknown range",
        "save it with 8 or 16 bits per channel",
    )


def undescribed(label: str, bands: int) -> CaflowError:
    """The error for a TIFF with one sample more than colors, of which it does not say what it is.

    Args:
        label: Name of the file.
        bands: All samples of a pixel.
    """
    return CaflowError(
        f"{label!r} has {bands} bands, and does not say that the last is transparency",
        "--alpha if it is, --no-alpha to keep it beside the colors; or save the bands that are an "
        "image",
    )


def check_samples(tags: Mapping[int, Any], label: str, alpha: bool | None) -> None:
    """Raise CaflowError for samples of a TIFF that Pillow drops, or takes for alpha unasked.

    Args:
        tags: Of the TIFF.
        label: Its name.
        alpha: As for `decode`.
    """
    bands = tags.get(_SAMPLES, 1)
    more = bands - _COLORS.get(tags.get(_PHOTOMETRIC, 0), 1)
    if more != 1 or tags.get(_EXTRA, (0,))[0] != 0:
        return
    if alpha is None:
        raise undescribed(label, bands)
    raise CaflowError(
        f"{label!r} has {bands} bands, of which the last is read only of lossless TIFFs, and with "
        "the extra deep",
        f"{DEEP_HINT}; or save the bands that are an image",
    )
