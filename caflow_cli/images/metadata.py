"""The EXIF that a result may keep: an allowlist of tags, read one by one and written anew.

Not on the list: serial numbers, owners, maker notes, thumbnails, and whatever describes the stored
pixels of the input. Nothing is copied as a block.
Source: https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf (Exif 2.32)
"""

import struct
from collections.abc import Mapping
from typing import Any, TypeAlias

from PIL import Image, TiffImagePlugin
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2

# Values by directory and tag. Texts are bytes, as stored.
Metadata: TypeAlias = Mapping[int, Mapping[int, Any]]

MAIN = 0  # the first directory; the others have the numbers of the tags that point to them
EXIF = 0x8769
GPS = 0x8825
DESCRIPTION = 0x010E  # ImageDescription
_COMMENT = 0x9286  # UserComment
_VERSION = 0x9000
_ALTITUDE_REF = 0x05
_MAX_BLOCK = 2**16  # bytes of an EXIF block
_MAX_TEXT = 2000  # bytes of a text; longer ones are left out
_TEXT = 2
_FORMATS = {1: "B", 3: "H", 4: "I", 5: "II", 9: "i", 10: "ii"}  # of the numeric types, for `struct`
# The texts and the numbers that are kept of each directory.
_TEXTS = {
    # Make, Model, DateTime, Artist, Copyright
    MAIN: (0x010F, 0x0110, 0x0132, 0x013B, 0x8298, DESCRIPTION),
    # DateTimeOriginal and DateTimeDigitized, offsets and fractions of all three, LensModel
    EXIF: (0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292, 0xA434),
    GPS: (0x01, 0x03, 0x10, 0x1D),  # north or south, east or west, kind of direction, date
}
_NUMBERS = {
    MAIN: (EXIF, GPS),
    # ExposureTime, FNumber, ExposureProgram, ISO, shutter, aperture, bias, metering, Flash,
    # FocalLength, ExposureMode, focal length at 35 mm
    EXIF: (
        *(0x829A, 0x829D, 0x8822, 0x8827, 0x9201, 0x9202),
        *(0x9204, 0x9207, 0x9209, 0x920A, 0xA402, 0xA405),
    ),
    GPS: (0x02, 0x04, _ALTITUDE_REF, 0x06, 0x07, 0x11),  # place, altitude, time, direction
}


def read_metadata(image: Image.Image, data: bytes) -> Metadata | None:
    """Read the tags that a result may keep, of an image whose pixels have been loaded.

    Args:
        image: The image.
        data: Its file.

    Returns:
        Empty if there are none; None if the EXIF cannot be read or has more than 64 kB.
    """
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        data = image.info.get("exif") or b""
        if not data:
            return {}
        data = data.removeprefix(b"Exif\0\0")
        if len(data) > _MAX_BLOCK:
            return None
    try:
        order = {b"II*\0": "<", b"MM\0*": ">"}[data[:4]]
        (first,) = struct.unpack_from(f"{order}I", data, 4)
        main = _directory(data, order, first, MAIN)
        directories = {MAIN: main}
        for pointer in (EXIF, GPS):
            offset = main.pop(pointer, None)
            if offset is not None:
                directories[pointer] = _directory(data, order, offset, pointer)
    except (KeyError, TypeError, ValueError, struct.error):
        return None
    return {directory: tags for directory, tags in directories.items() if tags}


def _directory(data: bytes, order: str, at: int, name: int) -> dict[int, Any]:
    """The values of allowed tags in the directory at that offset."""
    values = {}
    (count,) = struct.unpack_from(f"{order}H", data, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, length = struct.unpack_from(f"{order}HHI", data, entry)
        if tag in _TEXTS[name] and kind == _TEXT and length <= _MAX_TEXT:
            text = _bytes(data, order, entry, length).partition(b"\0")[0].strip()
            value: Any = bytes(c for c in text if c >= 32)  # without control characters
        elif tag in _NUMBERS[name] and kind in _FORMATS and length in (1, 3 if name == GPS else 1):
            value = _numbers(data, order, entry, kind, length)
        else:
            continue
        if value not in (None, b""):
            values[tag] = value
    return values


def _numbers(data: bytes, order: str, entry: int, kind: int, length: int) -> Any:
    """One number, or a tuple of several; None if a fraction has the denominator 0."""
    layout = order + _FORMATS[kind] * length
    numbers = struct.unpack(layout, _bytes(data, order, entry, struct.calcsize(layout)))
    if len(_FORMATS[kind]) == 1:
        return numbers[0] if length == 1 else numbers
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    if any(denominator == 0 for _, denominator in pairs):
        return None
    fractions = tuple(IFDRational(*pair) for pair in pairs)
    return fractions[0] if length == 1 else fractions


def _bytes(data: bytes, order: str, entry: int, size: int) -> bytes:
    """The bytes of an entry's value: in the entry itself if there are up to four."""
    at = entry + 8
    if size > 4:
        (at,) = struct.unpack_from(f"{order}I", data, at)
    value = data[at : at + size]
    if len(value) < size:
        raise ValueError("ends within a value")
    return value


def rebuilt(metadata: Metadata) -> dict[int, dict[int, Any]]:
    """The directories to write: with the description as UserComment, because provenance has its
    place, and with the version that EXIF requires.
    """
    directories = {name: dict(tags) for name, tags in metadata.items()}
    description = directories.get(MAIN, {}).pop(DESCRIPTION, b"")
    exif = {tag: _text(value) for tag, value in directories.get(EXIF, {}).items()}
    if description and not description.startswith(b'{"caflow"'):
        exif[_COMMENT] = _comment(description)
    if exif:
        directories[EXIF] = {_VERSION: b"0232", **exif}
    if GPS in directories:
        gps = {tag: _text(value) for tag, value in directories[GPS].items()}
        if gps.pop(_ALTITUDE_REF, 0) == 1:  # below sea level; a byte, 0 by default
            gps[_ALTITUDE_REF] = b"\1"
        directories[GPS] = gps
    return directories


def _text(value: Any) -> Any:
    """Pillow writes bytes as texts only in the main directory, elsewhere ASCII."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _comment(text: bytes) -> bytes:
    if text.isascii():
        return b"ASCII\0\0\0" + text
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        decoded = text.decode("latin-1")
    return b"UNICODE\0" + decoded.encode("utf-16-le")


def as_exif(directories: Metadata) -> Image.Exif:
    """The EXIF block of directories, for `Image.save` in any format but TIFF."""
    exif = Image.Exif()
    for name, tags in directories.items():
        (exif if name == MAIN else exif.get_ifd(name)).update(tags)
    return exif


def with_directories(tiff: bytes, directories: Metadata) -> bytes:
    """Append directories to a TIFF file whose first directory has a pointer to each.

    Pillow cannot write them if pixels are compressed.
    """
    file = bytearray(tiff)
    order = "<" if file[:2] == b"II" else ">"
    (first,) = struct.unpack_from(f"{order}I", file, 4)
    (count,) = struct.unpack_from(f"{order}H", file, first)
    for entry in range(first + 2, first + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from(f"{order}H", file, entry)
        if tag in directories:
            file += bytes(len(file) % 2)
            struct.pack_into(f"{order}I", file, entry + 8, len(file))
            directory = ImageFileDirectory_v2(bytes(file[:8]), group=tag)
            for key, value in directories[tag].items():
                directory[key] = value
            file += directory.tobytes(len(file))
    return bytes(file)
