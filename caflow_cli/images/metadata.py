"""The EXIF that a result may keep: an allowlist of tags, read one by one and written anew.

Not on the list: serial numbers, owners, maker notes, thumbnails, and whatever describes the stored
pixels of the input. Nothing is copied as a block.
Source: https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf (Exif 2.32)
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from PIL import Image
from PIL.TiffImagePlugin import IFDRational

# Values by directory and tag. Texts are bytes, as stored.
Metadata: TypeAlias = Mapping[int, Mapping[int, Any]]

MAIN = 0  # the first directory; the others have the numbers of the tags that point to them
EXIF = 0x8769
GPS = 0x8825
DESCRIPTION = 0x010E  # ImageDescription
COMMENT = 0x9286  # UserComment
_VERSION = 0x9000
_ALTITUDE_REF = 0x05
_BELOW = b"\1"  # its value below sea level; 0 by default
_MAX_BLOCK = 2**16  # bytes of an EXIF block
_MAX_TEXT = 2000  # bytes of a text; longer ones are left out
# The texts and the numbers that are kept of each directory.
_TEXTS = {
    # Make, Model, DateTime, Artist, Copyright
    MAIN: (0x010F, 0x0110, 0x0132, 0x013B, 0x8298, DESCRIPTION),
    # DateTimeOriginal and DateTimeDigitized, offsets and fractions of all three, LensModel
    EXIF: (0x9003, 0x9004, 0x9010, 0x9011, 0x9012, 0x9290, 0x9291, 0x9292, 0xA434),
    GPS: (0x01, 0x03, 0x10, 0x1D),  # north or south, east or west, kind of direction, date
}
_NUMBERS = {
    MAIN: (),
    # ExposureTime, FNumber, ExposureProgram, ISO, shutter, aperture, bias, metering, Flash,
    # FocalLength, ExposureMode, focal length at 35 mm
    EXIF: (
        *(0x829A, 0x829D, 0x8822, 0x8827, 0x9201, 0x9202),
        *(0x9204, 0x9207, 0x9209, 0x920A, 0xA402, 0xA405),
    ),
    GPS: (0x02, 0x04, 0x06, 0x07, 0x11),  # place, altitude, time, direction
}


def read_metadata(image: Image.Image | bytes) -> Metadata | None:
    """Read the tags that a result may keep, of an image whose pixels have been loaded, or a TIFF.

    Empty if there are none; None if the EXIF cannot be read or has more than 64 kB.
    """
    info = image.info if isinstance(image, Image.Image) else {}
    if len(info.get("exif") or b"") > _MAX_BLOCK:
        return None
    try:
        if isinstance(image, Image.Image):
            exif = image.getexif()
        else:
            exif = Image.Exif()
            exif.load(image)
        stored = {MAIN: dict(exif)}
        for pointer in (EXIF, GPS):
            if pointer in exif:
                stored[pointer] = exif.get_ifd(pointer)
    except Exception:  # on broken EXIF, Pillow may raise anything
        return None
    if not all(stored.values()) and "exif" in info:
        return None
    return _kept_tags(stored) if exif else {}


def _kept_tags(stored: Metadata) -> Metadata:
    """The directories without tags and values that a result must not keep."""
    directories = {}
    for name, tags in stored.items():
        values = {tag: _kept(name, tag, value) for tag, value in tags.items()}
        kept = {tag: value for tag, value in values.items() if value is not None}
        if kept:
            directories[name] = kept
    return directories


def _kept(directory: int, tag: int, value: Any) -> Any:
    """A value that is kept, or None: texts as stored, without control characters; numbers."""
    if tag in _TEXTS[directory] and isinstance(value, str) and len(value) <= _MAX_TEXT:
        stored = value.encode("latin-1", "replace").partition(b"\0")[0].strip()
        return bytes(c for c in stored if c >= 32) or None
    if tag in _NUMBERS[directory]:
        numbers = [value]
        if directory == GPS and isinstance(value, tuple) and len(value) == 3:
            numbers = [*value]
        return value if all(map(_is_number, numbers)) else None
    is_below_sea = directory == GPS and tag == _ALTITUDE_REF and value == _BELOW
    return value if is_below_sea else None


def _is_number(value: Any) -> bool:
    if isinstance(value, IFDRational):
        return value.denominator != 0
    return isinstance(value, int)


def rebuilt(metadata: Metadata, *, place: bool) -> Metadata:
    """The directories to write, with or without the place: with the description as UserComment,
    because provenance has its place, and with the version that EXIF requires.
    """
    directories = {name: dict(tags) for name, tags in metadata.items() if place or name != GPS}
    description = directories.get(MAIN, {}).pop(DESCRIPTION, b"")
    exif = {tag: _text(value) for tag, value in directories.get(EXIF, {}).items()}
    if description and not description.startswith(b'{"caflow"'):
        exif[COMMENT] = _comment(description)
    if exif:
        directories[EXIF] = {_VERSION: b"0232", **exif}
    gps = {tag: _text(value) for tag, value in directories.get(GPS, {}).items()}
    if gps:
        directories[GPS] = gps
    return directories


def _text(value: Any) -> Any:
    """Pillow writes bytes as texts only in the main directory, elsewhere ASCII."""
    is_text = isinstance(value, bytes) and value != _BELOW
    return value.decode("utf-8", "replace") if is_text else value


def _comment(text: bytes) -> bytes:
    if text.isascii():
        return b"ASCII\0\0\0" + text
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError:
        decoded = text.decode("latin-1")
    return b"UNICODE\0" + decoded.encode("utf-16-le")


def as_exif(directories: Metadata) -> Image.Exif:
    """The EXIF block of directories, for `Image.save`."""
    exif = Image.Exif()
    exif.update(directories.get(MAIN, {}))
    for name, tags in directories.items():
        if name != MAIN:
            exif.get_ifd(name).update(tags)
            exif[name] = dict(tags)  # which TIFF needs
    return exif
