"""Why a file is not read: the errors, and what is said of samples that a TIFF does not describe."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any, cast

import numpy as np
import PIL.Image
from PIL import TiffImagePlugin, UnidentifiedImageError

from ..errors import EXIT_FAILED, CaflowError, ensure
from .profile import Array

_COMPLETE = "give a complete PNG, JPEG, WebP, BMP or TIFF file"
SMALLER = "crop or shrink the image first"
DEEP_HINT = 'pip install -e ".[deep]"'
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: BigTIFF
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", *TIFF_MAGIC)
# TIFF tags
_BITS, _PHOTOMETRIC, _SAMPLES, _EXTRA, _FORMAT = 258, 262, 277, 338, 339
_DEPTH = 32997  # pages of a volume
_COLORS = {2: 3, 5: 4, 6: 3, 8: 3, 9: 3}  # samples of RGB, CMYK, YCbCr and LAB; else one
_COLORMAP, _INK_SET, _REDUCED, _SUB_IFDS = 320, 332, 254, 330
_SIGNED, _FLOATS, _COMPLEX = 2, 3, (5, 6)  # of SampleFormat
_OTHER = "values of a kind that is not read"
_AS_READ = "save it as gray or RGB with 8 or 16 bits per channel"
_AS_FIELD = "for a field in a unit, take a model of fields (docs/fields.md)"
# `warnings.catch_warnings` is process-wide, but threads read data sets.
_warnings_lock = threading.Lock()


def has_deep() -> bool:
    """Whether the extra `deep` is installed."""
    return all(find_spec(name) for name in ("tifffile", "imagecodecs"))


@contextmanager
def quiet_warnings() -> Iterator[None]:
    """Suppress warnings about damaged metadata; raise those about decompression bombs."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", PIL.Image.DecompressionBombWarning)
        yield


def no_file(label: str) -> CaflowError:
    """The error for a file that does not exist."""
    return CaflowError(f"no file {label!r}", "check the path for typos")


def empty(label: str, is_piped: bool) -> CaflowError:
    """The error for a file without content."""
    hint = "see the error of the command before it" if is_piped else _COMPLETE
    return CaflowError(f"{label!r} is empty (0 bytes)", hint)


def undecoded(label: str, data: bytes) -> CaflowError:
    """The error for a file that cannot be decoded: it is of a kind that is not read, or damaged."""
    if data.startswith(TIFF_MAGIC):
        file = io.BytesIO(data)
        with suppress(Exception), quiet_warnings():  # on broken tags, Pillow may raise anything
            tags = TiffImagePlugin.ImageFileDirectory_v2(data[: 16 if b"+" in data[:4] else 8])
            file.seek(tags.next)
            tags.load(file)
            if kind := unread_kind(tags):
                return not_read(label, kind)
    message = f"{label!r} is damaged or truncated, or of a kind that is not read"
    return CaflowError(message, f"{_COMPLETE}; or {_as_read()}")


def not_read(label: str, kind: str) -> CaflowError:
    """The error for a file of a kind that is not read."""
    return CaflowError(f"{label!r} holds {kind}", f"{_as_read()}; {_AS_FIELD}")


def _as_read() -> str:
    return _AS_READ if has_deep() else f"{_AS_READ}; more kinds of TIFF are read by: {DEEP_HINT}"


def unread_kind(tags: Mapping[int, Any]) -> str | None:
    """What values of a TIFF are that no reader here takes, or would take for others."""
    photometric = tags.get(_PHOTOMETRIC, 0)
    colors = _COLORS.get(photometric, 1)
    bands = tags.get(_SAMPLES, 1)
    bits = max(tags.get(_BITS, (1,)))
    kind = max(tags.get(_FORMAT, (1,)))
    if bands > colors + (colors < 4):
        return f"{bands} bands" + " that are not said to be colors" * (colors == 1)
    if kind in _COMPLEX:
        return "complex numbers"
    if kind == _FLOATS and bits > 32:
        return f"floats of {bits} bits"
    if photometric == 5 and tags.get(_INK_SET, 1) != 1:
        return "inks that are not those of CMYK"
    is_other = (
        (kind == _SIGNED and (bits < 32 or bands > 1))
        or (kind == 1 and (8 < bits < 16 or bits > 32 or (bits == 32 and bands > 1)))
        or tags.get(_DEPTH, 1) > 1
        or 0 < max(tags.get(_COLORMAP, (0,))) < 256  # of 8 bits, which would be black
    )
    return _OTHER if is_other else None


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
    return undecoded(label, data)


def check_floats(values: Array, label: str) -> None:
    """Raise CaflowError unless values of a file, (H, W, C), are finite and from 0 to 1."""
    field = f"; {_AS_FIELD}" if values.shape[2] == 1 else ""
    check_finite(values, repr(label), f"replace them by numbers from 0 to 1{field}")
    least, most = values.min(), values.max()
    ensure(
        least >= 0 and most <= 1,
        f"{label!r} holds floats from {least:g} to {most:g}, and those from 0 to 1 are read",
        f"to restore it, --value-range A,B, its black and white; or scale them{field}",
    )


def check_finite(values: Array, what: str, hint: str, exit_code: int = EXIT_FAILED) -> None:
    """Raise CaflowError unless values, (H, W, C), are finite: how many are not, and the first."""
    finite = np.isfinite(values)
    if finite.all():
        return
    y, x, band = (int(place) for place in np.argwhere(~finite)[0])
    count = (~finite).sum()
    found = "a value that is no number" if count == 1 else f"{count} values that are no numbers"
    name = "NaN" if np.isnan(values[y, x, band]) else "infinity"
    where = f"x {x}, y {y}" + ("" if values.shape[2] == 1 else f", band {band + 1}")
    first = "" if count == 1 else "the first "
    raise CaflowError(f"{what} holds {found}, {first}{name} at {where}", hint, exit_code)


def check_range(image: PIL.Image.Image, label: str) -> None:
    """Raise CaflowError for gray values of unknown range: floats, integers outside 0 to 65535, and
    integers that might as well be 8-bit values.
    """
    if image.mode == "F":
        message = f"{label!r} holds floats, which are read of TIFF by the extra deep"
        raise CaflowError(message, f"save it as TIFF, and {DEEP_HINT}")
    least, largest = cast(tuple[float, float], image.getextrema())
    small = image.mode == "I" and image.format != "PPM" and 0 < largest <= 255
    ensure(
        least >= 0 and largest <= 65535 and not small,
        f"{label!r} holds 32-bit integers of unknown range",
        f"{_AS_READ}; {_AS_FIELD}",
    )


def undescribed(label: str, bands: int) -> CaflowError:
    """The error for a TIFF with one sample more than colors, of which it does not say what it is.

    Args:
        label: Name of the file.
        bands: All samples of a pixel.
    """
    return CaflowError(
        f"{label!r} has {bands} bands, and does not say that the last is transparency",
        "save the bands that are an image; to restore it, --alpha if it is, or --no-alpha to keep "
        "it beside the colors",
    )


def preview(label: str) -> CaflowError:
    """The error for a TIFF whose first page is a small version of another."""
    message = f"{label!r} begins with a preview of another image, as raw photographs do"
    return CaflowError(message, "develop it to TIFF or JPEG, or save the image alone")


def check_samples(tags: Mapping[int, Any], label: str, alpha: bool | None, frames: int) -> None:
    """Raise CaflowError for samples of a TIFF that Pillow drops or takes for what they are not.

    Args:
        tags: Of the TIFF.
        label: Its name.
        alpha: As for `decode`.
        frames: How many pages the file has.
    """
    if tags.get(_REDUCED, 0) & 1 and (frames > 1 or _SUB_IFDS in tags):
        raise preview(label)
    if kind := unread_kind(tags):
        raise not_read(label, kind)
    if tags.get(_PHOTOMETRIC) == 0 and max(tags.get(_BITS, (1,))) > 8:
        raise not_read(label, _OTHER)  # which Pillow does not invert
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


def register_heic(label: str) -> None:
    """Let Pillow read HEIC; CaflowError without pillow-heif."""
    try:
        from pillow_heif import register_heif_opener

        register_heif_opener()
    except ImportError as error:
        message = f"{label!r} is HEIC, which needs pillow-heif"
        raise CaflowError(message, "pip install pillow-heif, or convert it to JPEG") from error
