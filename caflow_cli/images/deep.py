"""Files of 16 bits per channel or floats, by the extra `deep`: TIFF and PNG, read and written.

`tifffile` and `imagecodecs` are imported only when such a file is met. Other kinds of TIFF, such as
JPEG in TIFF, palettes and CMYK, are left to Pillow.
"""

from __future__ import annotations

import io
import logging
import math
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, TiffImagePlugin, TiffTags

from ..config import Extent
from ..errors import ensure
from ..records import Table
from .color import white
from .metadata import COMMENT, MAIN, Metadata
from .profile import Array
from .ranges import check_in_range
from .refusals import SMALLER, check_floats, preview

if TYPE_CHECKING:
    import tifffile

DEFLATE = 8  # Compression: Adobe's Deflate
_OLD_DEFLATE = 32946
_PREDICTED = (5, DEFLATE, 50000)  # LZW, Deflate, ZSTD: of differences between pixels
_LOSSLESS = (1, 32773, _OLD_DEFLATE, *_PREDICTED)  # none, PackBits
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2  # PhotometricInterpretation
_WIDE = ((16, 2), (32, 1), (32, 2))  # bits and SampleFormat of integers of unknown range
INFRARED, _PREMULTIPLIED, STRAIGHT = 0, 1, 2  # ExtraSamples; 0: neither, such as infrared
ORIENTATION = 274
SIDEWAYS = (5, 6, 7, 8)  # orientations that swap the sides
_DESCRIPTION = 270
_RESOLUTION = (282, 283)  # in x and y
TIFF_XMP = 700
_SIGNATURE = 8  # bytes of a PNG before its chunks
_OF_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_IHDR = 33  # bytes of a PNG before the chunk after IHDR
_MAX_DECODED = 2**28  # bytes; decoding takes up to 4.5 times as much memory: 1.2 GB
_MOST_TEXT = 2**16  # bytes of a description
_OF_PROGRAMS = (b'{"shape"', b"<?xml", b"ImageJ=")  # descriptions that state the image's size
logging.getLogger("tifffile").addHandler(logging.NullHandler())  # raised errors say the same


@dataclass(frozen=True, eq=False)
class TiffParts:
    """What a TIFF made of a TIFF keeps, beside its image and EXIF."""

    compression: int  # tag Compression
    description: bytes = b""  # ImageDescription
    resolution: tuple[Any, Any, int] | None = None  # in x and y, and its unit
    infrared_page: bool = False  # whether infrared is on a page of its own

    def of_another_size(self) -> TiffParts:
        """What a result of another size keeps: no description that a program wrote of the size."""
        states_size = self.description.startswith(_OF_PROGRAMS)
        return replace(self, description=b"") if states_size else self


class StoredTiff(NamedTuple):
    """What a page of a TIFF holds: uint8, uint16, or float32 on [0, 1]; no profile is applied."""

    values: Array  # (H, W, 1 or 3)
    alpha: Array | None  # (H, W), straight
    infrared: Array | None  # (H, W): a channel beside the colors that is no alpha
    profile: bytes | None
    frames: int
    parts: TiffParts


def check_decoded(label: str, pixels: int, taken: int) -> None:
    """Raise CaflowError for an image of too many pixels, or too many bytes in memory."""
    most = Image.MAX_IMAGE_PIXELS or pixels
    ensure(pixels <= most, f"{label!r} has more than {most} pixels", SMALLER)
    ensure(
        taken <= _MAX_DECODED,
        f"{label!r} takes {taken / 1e6:.0f} MB in memory, more than {_MAX_DECODED / 1e6:.0f}",
        SMALLER,
    )


# --- TIFF -----------------------------------------------------------------------------------------


def turned(values: Array, orientation: Any) -> Array:
    """Turn (H, W, C) or (H, W) upright, by its EXIF orientation."""
    down = -1 if orientation in (3, 4, 6, 7) else 1
    right = -1 if orientation in (2, 3, 7, 8) else 1
    values = values[::down, ::right]
    return np.ascontiguousarray(values.swapaxes(0, 1) if orientation in SIDEWAYS else values)


def read_tiff_size(data: bytes, label: str) -> Extent | None:
    """The height and the width of a TIFF that `read_tiff` reads; None for others.

    Errors as for `read_tiff`.
    """
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = _plain_page(file)
        if page is None:
            return None
        check_segments(page, len(data), label)
        if page.tags.valueof(ORIENTATION, 1) in SIDEWAYS:
            return page.imagewidth, page.imagelength
        return page.imagelength, page.imagewidth


def read_tiff(
    data: bytes, label: str, index: int = 0, *, has_range: bool = False
) -> StoredTiff | None:
    """Read a page of a TIFF, upright; None if it is of a kind that is left to Pillow, or missing.

    Any exception means a damaged file.

    Args:
        data, label: The file, and its name in errors.
        index: Of the page.
        has_range: Whether the range of its colors is stated, which may then be any.

    Raises:
        CaflowError: (exit 1) it takes too much memory, or holds floats outside 0 to 1; or its
            colors are premultiplied or inverted, and have a range.
    """
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = _plain_page(file, index, has_range)
        if page is None:
            return None
        if index == 0 and page.is_reduced and (len(file.pages) > 1 or page.subifds):
            raise preview(label)
        check_segments(page, len(data), label)
        # The second page of a scan often lacks the orientation of the first.
        values = _values(page, file.pages.first.tags.valueof(ORIENTATION, 1))
        count = _colors(page)
        kind = page.extrasamples[0] if page.extrasamples else 0
        ensure(
            not has_range or (page.photometric != _WHITE_IS_ZERO and kind != _PREMULTIPLIED),
            f"{label!r} has white as 0, or premultiplied colors, for which no range can be stated",
            "save it with black as 0, and straight colors",
        )
        if values.dtype.kind == "f":
            if not has_range:
                check_floats(values, label)
            elif values.shape[2] > count:
                check_in_range(values[..., count:], (0, 1), f"the last band of {label!r}")
            values = values.astype(np.float32, copy=False)
        colors = values[..., :count]
        more = values[..., count] if values.shape[2] > count else None
        if page.photometric == _WHITE_IS_ZERO:
            colors = white(colors) - colors
        if more is not None and kind == _PREMULTIPLIED:
            colors = _straight(colors, more)
        is_alpha = kind in (_PREMULTIPLIED, STRAIGHT)
        alpha, infrared = (more, None) if is_alpha else (None, more)
        parts = TiffParts(int(page.compression), _description(page, data), _resolution(page))
        return StoredTiff(colors, alpha, infrared, page.iccprofile, len(file.pages), parts)


def _plain_page(
    file: tifffile.TiffFile, index: int = 0, has_range: bool = False
) -> tifffile.TiffPage | None:
    import tifffile

    if index >= len(file.pages):
        return None
    page = file.pages[index] if index else file.pages.first
    return page if isinstance(page, tifffile.TiffPage) and _is_plain(page, has_range) else None


def _values(page: tifffile.TiffPage, orientation: Any) -> Array:
    """The values of a page, upright, by its own or else that orientation: (H, W, C)."""
    channels = page.samplesperpixel
    size = page.imagelength, page.imagewidth
    is_planar = page.planarconfig == 2
    values = page.asarray(maxworkers=1).reshape(
        (channels, *size) if is_planar else (*size, channels)
    )
    if is_planar:
        values = np.moveaxis(values, 0, -1)
    return turned(values, page.tags.valueof(ORIENTATION, orientation))


def _straight(colors: Array, alpha: Array) -> Array:
    """Divide premultiplied colors by alpha."""
    if colors.dtype.kind == "f":
        alpha = np.maximum(alpha.astype(np.float32), np.float32(1 / 65535))
        return np.asarray((colors / alpha[..., None]).clip(0, 1), np.float32)
    straight = np.rint(colors * (white(colors) / np.maximum(alpha, 1))[..., None])
    return straight.clip(0, white(colors)).astype(colors.dtype)


def _colors(page: tifffile.TiffPage) -> int:
    return 3 if page.photometric == _RGB else 1


def _is_plain(page: tifffile.TiffPage, has_range: bool) -> bool:
    """Whether a page is gray or RGB, losslessly stored, perhaps with one more channel, and of a
    type whose range is known, or stated."""
    if page.photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) or page.imagedepth != 1:
        return False
    kind = (page.bitspersample, page.sampleformat)
    more = page.samplesperpixel - _colors(page)
    is_premultiplied = more == 1 and page.extrasamples[:1] == (_PREMULTIPLIED,)
    return (
        page.compression in _LOSSLESS
        and kind in ((8, 1), (16, 1), (16, 3), (32, 3), *(_WIDE if has_range else ()))
        and more in (0, 1)
        and not (is_premultiplied and page.bitspersample == 8 and _colors(page) == 3)
        and page.dtype is not None
    )


def check_segments(page: tifffile.TiffPage, size: int, label: str) -> None:
    """Check, before anything is decoded, that the strips or tiles lie in the file and are few."""
    count = page.imagewidth * page.imagelength
    segment = page.tilewidth * page.tilelength if page.is_tiled else page.imagewidth
    taken = max(count, segment) * page.samplesperpixel * page.bitspersample // 8
    check_decoded(label, count, taken)
    ends = [a + b for a, b in zip(page.dataoffsets, page.databytecounts, strict=True)]
    whole = len(ends) == math.prod(page.chunked) and min(page.databytecounts) > 0
    if not whole or max(ends) > size:
        raise ValueError("strips or tiles are missing")


def _description(page: tifffile.TiffPage, data: bytes) -> bytes:
    """ImageDescription as stored: tifffile guesses its encoding."""
    tag = page.tags.get(_DESCRIPTION)
    if tag is None or tag.valuebytecount > _MOST_TEXT:
        return b""
    return data[tag.valueoffset : tag.valueoffset + tag.valuebytecount].rstrip(b"\0")


def _resolution(page: tifffile.TiffPage) -> tuple[Any, Any, int] | None:
    x, y = (page.tags.valueof(tag) for tag in _RESOLUTION)
    valid = all(isinstance(value, tuple) and 0 not in value for value in (x, y))
    return (x, y, int(page.resolutionunit)) if valid else None


def encode_tiff(
    values: Array,
    kind: int,
    parts: TiffParts | None,
    profile: bytes | None,
    xmp: bytes,
    directories: Metadata,
    infrared: Array | None = None,
) -> bytes:
    """Encode (H, W, C), uint8, uint16 or float32, as TIFF, compressed as the input.

    Args:
        values: One or three colors, and perhaps one channel more.
        kind: What that is, as of ExtraSamples: `STRAIGHT` or `INFRARED`.
        parts: Of the input; None if that is no TIFF.
        profile: The ICC profile.
        xmp: A packet; empty if there is none.
        directories: EXIF, as for `as_exif`.
        infrared: A second page, (H, W).
    """
    import tifffile

    parts = parts or TiffParts(DEFLATE)
    channels = values.shape[2]
    colors = 1 if channels < 3 else 3
    tags: list[Any] = [(TIFF_XMP, 1, len(xmp), xmp, True)] if xmp else []
    tags += _tags_of(directories) if directories else []
    options: Table = {"metadata": None, "software": False}
    if parts.resolution is not None:
        options |= {"resolution": parts.resolution[:2], "resolutionunit": parts.resolution[2]}
    compression = DEFLATE if parts.compression == _OLD_DEFLATE else parts.compression
    options |= {"compression": compression, "predictor": compression in _PREDICTED}
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, byteorder="<") as file:
        file.write(
            values if channels > 1 else values[..., 0],
            photometric="rgb" if colors == 3 else "minisblack",
            planarconfig="contig" if channels > 1 else None,
            extrasamples=(kind,) * (channels - colors),
            iccprofile=profile,
            description=parts.description or None,
            extratags=tags,
            **options,
        )
        if infrared is not None:
            file.write(infrared, photometric="minisblack", **options)
    tiff = buffer.getvalue()
    return _with_directories(tiff, directories) if directories else tiff


def _tags_of(directories: Metadata) -> list[Any]:
    """The tags of the first directory, and a place for a pointer to each of the others."""
    texts = directories.get(MAIN, {})
    tags = [(tag, 2, len(text) + 1, text + b"\0", True) for tag, text in texts.items()]
    return [*tags, *((name - 1, 4, 1, 1, True) for name in directories if name != MAIN)]


def _with_directories(tiff: bytes, directories: Metadata) -> bytes:
    """Append directories of EXIF, which tifffile does not write, to a TIFF in little-endian order.

    A tag whose number is one less holds the place of the pointer to each.
    """
    import tifffile

    data = bytearray(tiff)
    with tifffile.TiffFile(io.BytesIO(tiff)) as file:
        first = file.pages.first
        places = {name: first.tags[name - 1].offset for name in directories if name != MAIN}
    for name, place in places.items():
        directory = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0\0\0\0\0", group=name)
        directory.tagtype[COMMENT] = TiffTags.UNDEFINED  # which Pillow does not know
        directory.update(directories[name])
        data += bytes(len(data) % 2)
        struct.pack_into("<HHII", data, place, name, 4, 1, len(data))
        data += directory.tobytes(len(data))
    return bytes(data)


# --- PNG ------------------------------------------------------------------------------------------


def read_png(data: bytes, orientation: Any) -> tuple[Array, Array | None]:
    """Read a PNG of 16 bits per channel, upright: colors, (H, W, 1 or 3), and alpha, (H, W).

    A color that is transparent gives alpha. Any exception means a damaged file.
    """
    import imagecodecs

    values = imagecodecs.png_decode(_pixels_alone(data))
    values = turned(values.reshape(*values.shape[:2], -1), orientation)
    colors = values[..., : 1 if values.shape[2] < 3 else 3]
    return colors, values[..., -1] if values.shape[2] > colors.shape[2] else None


def _pixels_alone(data: bytes) -> bytes:
    """A PNG without chunks that say nothing of its values: libpng prints lines on broken ones."""
    kept = [data[:_SIGNATURE]]
    place = _SIGNATURE
    while place + 8 <= len(data):
        end = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] in _OF_PIXELS:
            kept.append(data[place:end])
        place = end
    return b"".join(kept)


def encode_png_16(values: Array, like: bytes) -> bytes:
    """Encode uint16 (H, W, C) as PNG, with the texts, EXIF and profile of another PNG."""
    import imagecodecs

    values = values[..., 0] if values.shape[2:] == (1,) else values
    data = bytes(imagecodecs.png_encode(np.ascontiguousarray(values)))
    return data[:_IHDR] + like[_IHDR : like.rindex(b"IDAT") - 4] + data[_IHDR:]
