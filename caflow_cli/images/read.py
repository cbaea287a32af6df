"""Read image files: the one policy for converting them to colors and alpha."""

from __future__ import annotations

import contextlib
import ctypes
import io
import logging
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL.Image
from PIL import TiffImagePlugin

from ..config import Extent
from ..errors import CaflowError, ensure
from .color import Pixels, in_8_bits, split_colors, white
from .deep import (
    ORIENTATION,
    SIDEWAYS,
    check_decoded,
    read_png,
    read_tiff,
    read_tiff_size,
    turned,
)
from .metadata import read_metadata
from .profile import Array, converter, is_of_grays, unread_colors
from .ranges import Range, check_in_range, check_ranged
from .refusals import (
    SMALLER,
    TIFF_MAGIC,
    check_range,
    check_samples,
    empty,
    has_deep,
    quiet_warnings,
    register_heic,
    undecoded,
    undescribed,
    unopened,
    unreadable,
)
from .values import Input, Raster

SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".avif", ".heic", ".heif", ".bmp", ".tif", ".tiff"}
)
MAX_BYTES = 3 * 2**27  # of a file

# An explicit list, so that no plugin that starts other programs (EPS) ever reads a file.
_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "TIFF", "GIF", "PPM", "JPEG2000")
_HEIC = re.compile(rb"....ftyp.{0,48}(hei|hev)[cxms]", re.DOTALL)  # the first bytes, with brands
_STATED = {"icc_profile", "gamma", "chromaticity"}  # in Pillow's information on a file
_HEAD = 4096  # bytes in which cICP is looked for
_DEEP = re.compile(r";16[BLN]")  # in Pillow's name of a layout: 16 bits per channel
_GRAYS = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")  # modes of Pillow
_CONVERTED = ("CMYK", "LAB")  # modes of which colors are converted to sRGB
_LOSSY = ("jpeg", "tiff_jpeg", "webp", "tiff_sgilog", "tiff_sgilog24")  # compressions of TIFF
# TIFF and EXIF tags
_BITS_PER_SAMPLE = 258
_PLANAR = 284
_TILE = (322, 323)  # width and length
logging.getLogger("PIL").addHandler(logging.NullHandler())  # raised errors say the same
with contextlib.suppress(AttributeError, OSError):  # as does libtiff, in lines on stderr
    ctypes.CDLL(PIL.Image.core.__file__).TIFFSetErrorHandler(None)  # type: ignore[attr-defined]


def decode(
    source: str | Path | BinaryIO,
    name: str | None = None,
    alpha: bool | None = None,
    infrared: bool = False,
    value_range: Range | None = None,
) -> Input:
    """Decode an image file as it is stored, upright.

    Its colors, depth and profile are those of the file, with the extra `deep` also 16 bits, floats
    from 0 to 1, and the infrared channel of a TIFF. Without it, the high byte is read of 16 bits.
    CMYK and LAB are converted to sRGB, palettes to colors, and premultiplied colors are made
    straight. Values of a profile that is sRGB up to rounding, or broken, are taken as sRGB. Of an
    animation or several pages, only the first is read.

    Args:
        source: A path, or a binary stream, which is read to its end.
        name: Name of the image in errors. Default: the path or the stream's name.
        alpha: Whether a sample beside the colors of a TIFF is alpha, if the file does not say what
            it is; false: it is kept as infrared is. None: such a file is refused.
        infrared: Whether the infrared channel of a TIFF is asked for: a sample that is not
            described, unless `alpha`, or a second gray page of the same size.
        value_range: The values of black and white, for colors of any integers, or floats.

    Raises:
        CaflowError: (exit 1) the source is missing, a folder, unreadable, empty, truncated or not
            an image; it has more pixels than Pillow's bomb limit, or takes more than 256 MiB; a
            value is outside of its range; or the range (of other floats, 32-bit integers) or a
            sample is not stated.
    """
    data, label = read_source(source, name)
    is_tiff = data.startswith(TIFF_MAGIC)
    alpha = False if alpha is None and infrared else alpha
    found = None
    if is_tiff and has_deep():
        found = _decode_tiff(data, label, alpha, infrared, value_range)
    return found or _decode_by_pillow(data, label, alpha, value_range)


def _decode_by_pillow(
    data: bytes, label: str, alpha: bool | None, value_range: Range | None
) -> Input:
    """Decode an image that Pillow opens."""
    image, frames = open_image(data, label)
    with image:
        if isinstance(image, TiffImagePlugin.TiffImageFile):
            check_samples(image.tag_v2, label, alpha, frames)
        mode = image.mode
        gray = mode in _GRAYS
        deep = _load(image, data, label)
        # Read after the pixels: a PNG may have EXIF after them, and Pillow rotates TIFFs itself.
        with quiet_warnings():
            metadata = read_metadata(image)
        if deep and image.format == "PNG" and has_deep():
            values, opacity, gray = _decode_png(image, data, label)
        else:
            values, opacity = split_colors(image)
            values = turned(values, _orientation(image))
            opacity = None if opacity is None else turned(opacity, _orientation(image))
        if value_range is not None:
            check_ranged(values, value_range, label, converted=mode in _CONVERTED, deep=deep)
        decoded = Input(
            Raster(values, None, _unless_opaque(opacity), value_range=value_range),
            gray,
            metadata,
            format=image.format or "",
            lossless=stores_losslessly(image, data),
            frames=frames,
            deep=deep and values.itemsize == 1,
            converted=mode in _CONVERTED,
            table=table_of(image),
        )
        stated = image.info.keys() & _STATED or b"cICP" in data[:_HEAD]
        return _with_stated(decoded, image, data, mode) if stated else decoded


def _with_stated(decoded: Input, image: PIL.Image.Image, data: bytes, mode: str) -> Input:
    """The same with what a file of Pillow's mode states of its colors."""
    if "icc_profile" in image.info:
        decoded = _with_profile(decoded, image.info["icc_profile"] or b"", mode)
    unread = unread_colors(image.info, data) if image.format == "PNG" else ""
    return replace(decoded, unread=unread) if unread else decoded


def _load(image: PIL.Image.Image, data: bytes, label: str) -> bool:
    """Decode the pixels of an opened image; return whether it has 16 bits per channel."""
    # Of 16-bit colors, Pillow keeps the high bytes.
    layout = str([tile.args for tile in getattr(image, "tile", [])])
    deep = image.mode.startswith("I") or _DEEP.search(layout) is not None
    hidden = image.info.get("transparency")
    if hidden is not None:
        image.info["transparency"] = _in_8_bits(hidden, layout, deep)
    with _refusing_damage(label, data):
        image.load()
    if image.mode == "F" or image.mode.startswith("I"):
        check_range(image, label)
    return deep


def _with_profile(decoded: Input, profile: bytes, mode: str = "RGB") -> Input:
    """The same with the profile of its values, whose mode is that of Pillow; of colors that are
    converted, only a broken one is named."""
    if not decoded.converted:
        mode = "L" if decoded.gray else "RGB"
    try:
        is_srgb = converter(mode, profile) is None
    except ValueError:
        return replace(decoded, unread="its color profile is broken, and is left out")
    if decoded.converted:
        return decoded
    if is_srgb:
        return replace(decoded, srgb=profile)
    found = replace(decoded, image=replace(decoded.image, profile=profile))
    # Results of a gray file could not have an RGB profile.
    return found if decoded.gray == is_of_grays(profile) else found.in_srgb()


def _unless_opaque(alpha: Array | None) -> Array | None:
    return None if alpha is None or alpha.min() == white(alpha) else alpha


def _decode_png(
    image: PIL.Image.Image, data: bytes, label: str
) -> tuple[Array, Array | None, bool]:
    """Decode a PNG of 16 bits: its colors, (H, W, 3), alpha, and whether they are gray."""
    pixels = image.width * image.height
    check_decoded(label, pixels, 2 * pixels * _pixel_bytes(image))
    with _refusing_damage(label, data):
        values, alpha = read_png(data, _orientation(image))
    return _three(values), alpha, values.shape[2] == 1


def _three(values: Array) -> Array:
    """(H, W, 1 or 3) as three channels."""
    return np.repeat(values, 3, 2) if values.shape[2] == 1 else values


def _in_8_bits(hidden: Any, layout: str, deep: bool) -> Any:
    """Bring the values of transparent pixels to 8 bits, as Pillow does with the pixels alone.

    Those of a palette stay as they are.
    """
    if isinstance(hidden, int) and (bits := re.search(r"L;([24])", layout)):
        return 255 // (2 ** int(bits[1]) - 1) * hidden
    if isinstance(hidden, tuple) and deep:
        return tuple(in_8_bits(np.array(hidden, np.uint16)))
    return hidden


def table_of(image: PIL.Image.Image) -> float:
    """The mean of a JPEG's luminance table; 0 for any other image."""
    table = getattr(image, "quantization", {}).get(0, [0])
    return float(sum(table) / len(table))


def stores_losslessly(image: PIL.Image.Image, data: bytes = b"") -> bool:
    """Whether the file of an image, with this content, stores its values without loss.

    Of formats that store them either way, only WebP and TIFF tell.
    """
    if image.format == "WEBP":  # an extended file has further chunks, a frame has chunks of its own
        chunk = re.search(rb"VP8[ L]", data[12:])
        return chunk is not None and chunk[0] == b"VP8L"
    if image.format == "TIFF":
        return image.info.get("compression") not in _LOSSY
    return image.format in (None, "PNG", "BMP", "GIF", "PPM")


def _decode_tiff(
    data: bytes, label: str, alpha: bool | None, infrared: bool, value_range: Range | None
) -> Input | None:
    """Decode a TIFF by the extra `deep`; None if it is of a kind that is left to Pillow."""
    with _refusing_damage(label, data):
        found = read_tiff(data, label, has_range=value_range is not None)
        if found is None:
            return None
        if value_range is not None:
            check_in_range(found.values, value_range, repr(label))
        opacity, more = found.alpha, found.infrared
        if more is not None:
            if alpha is None:
                raise undescribed(label, found.values.shape[2] + 1)
            if alpha:
                opacity, more = more, None
        parts, frames = found.parts, found.frames
        page = _second_page(data, label, found.values) if infrared else None
        if page is not None:
            both = f"the infrared channel of {label!r} is in its last channel and its second page"
            ensure(more is None, both, "keep one of them")
            more, parts, frames = page, replace(parts, infrared_page=True), frames - 1
        decoded = Input(
            Raster(_three(found.values), None, _unless_opaque(opacity), more, value_range),
            found.values.shape[2] == 1,
            read_metadata(data),
            parts,
            format="TIFF",
            frames=frames,
        )
        return _with_profile(decoded, found.profile) if found.profile else decoded


def _second_page(data: bytes, label: str, first: Array) -> Array | None:
    """The second page of a TIFF, (H, W), if it is gray and as large as the first."""
    found = read_tiff(data, label, 1)
    is_like = found is not None and found.values.shape == (*first.shape[:2], 1)
    return found.values[..., 0] if found is not None and is_like else None


def read_image(source: str | Path | BinaryIO, name: str | None = None) -> Pixels:
    """Read the colors of an image in sRGB: uint8 (H, W, 3).

    Alpha is dropped; `decode` returns it. Colors are straight (un-premultiplied), as stored, also
    those of transparent pixels.

    Raises:
        CaflowError: As for `decode`.
    """
    return decode(source, name).image.shown


def read_size(source: str | Path | BinaryIO, name: str | None = None) -> Extent:
    """Read the height and width of an image, turned upright, without decoding it.

    Raises:
        CaflowError: As for `decode`, as far as the header shows it.
    """
    data, label = read_source(source, name)
    if data.startswith(TIFF_MAGIC) and has_deep():
        with _refusing_damage(label, data):
            found = read_tiff_size(data, label)
        if found is not None:
            return found
    image, _ = open_image(data, label)
    with image:
        if "exif" in image.info and _orientation(image) in SIDEWAYS:  # Pillow turns TIFFs itself
            return image.size
        return image.height, image.width


# --- files ----------------------------------------------------------------------------------------


def read_source(source: str | Path | BinaryIO, name: str | None = None) -> tuple[bytes, str]:
    """The bytes of a file or stream, and its name for errors; CaflowError as for `decode`."""
    known = source if isinstance(source, str | Path) else getattr(source, "name", None)
    label = name or (str(known) if isinstance(known, str | Path) else "<stream>")
    try:
        if isinstance(source, str | Path):
            with Path(source).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        else:
            data = source.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise unreadable(error, label) from None
    if not data:
        raise empty(label, is_piped=not isinstance(source, str | Path))
    ensure(len(data) <= MAX_BYTES, f"{label!r} has more than {MAX_BYTES >> 20} MiB", SMALLER)
    return data, label


@contextlib.contextmanager
def _refusing_damage(label: str, data: bytes) -> Iterator[None]:
    """Raise CaflowError for whatever a plugin or a codec raises on a broken file."""
    try:
        yield
    except CaflowError:
        raise
    except Exception as error:
        raise undecoded(label, data) from error


def _orientation(image: PIL.Image.Image) -> Any:
    """The EXIF orientation; 1 if it has none, or broken EXIF."""
    with contextlib.suppress(Exception), quiet_warnings():
        return image.getexif().get(ORIENTATION, 1)
    return 1


def open_image(data: bytes, label: str) -> tuple[PIL.Image.Image, int]:
    """Open the first frame of an image, without decoding it; also return the number of frames.

    Raises:
        CaflowError: (exit 1) it is not an image or is damaged, or has too many pixels.
    """
    formats: tuple[str, ...] = _FORMATS
    if _HEIC.match(data):
        register_heic(label)
        formats = ("HEIF",)
    try:
        with quiet_warnings():
            image = PIL.Image.open(io.BytesIO(data), formats=formats)
        # Before decoding: counting pages seeks through a TIFF, which would then be decoded again.
        frames = getattr(image, "n_frames", 1)
    except Exception as error:  # on a broken file, plugins may raise anything
        raise unopened(error, data, label) from error
    pixels = image.width * image.height
    check_decoded(label, pixels, pixels * _pixel_bytes(image))
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff(image, label)
    # MPO is a camera's JPEG, with previews after the image.
    return image, 1 if image.format == "MPO" else frames


def _check_tiff(image: TiffImagePlugin.TiffImageFile, label: str) -> None:
    """Raise CaflowError for a tile far larger than the image, and for uncompressed planes of 16
    bits, which Pillow reads as 8, to noise.
    """
    width, length = (image.tag_v2.get(tag, 0) for tag in _TILE)
    check_decoded(label, image.width * image.height, width * length * _pixel_bytes(image))
    ensure(
        image.tag_v2.get(_PLANAR) != 2
        or max(image.tag_v2.get(_BITS_PER_SAMPLE, (8,))) <= 8
        or image.use_load_libtiff,
        f"{label!r} stores uncompressed 16-bit colors in separate planes",
        "save it with interleaved pixels, or compressed",
    )


def _pixel_bytes(image: PIL.Image.Image) -> int:
    """The size of a decoded pixel in bytes: channels × depth."""
    channels = len(image.getbands())
    if "transparency" in image.info or image.format == "WEBP":  # becomes RGBA
        channels = 4
    return max(3, channels) * (2 if image.format == "JPEG2000" else 1)  # in 32 bits
