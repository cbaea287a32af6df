"""What of an image's EXIF a result keeps."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from image_files import COLORS, encoded, output_of
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from caflow_cli.images import FORMATS, Encoder, decode, read_provenance

EXIF, GPS = 0x8769, 0x8825
MAIN_TAGS = {
    0x010F: "Maker",
    0x0110: "Camera 3",
    0x0132: "2021:02:03 04:05:06",
    0x013B: "J\u00f6rg".encode(),
    0x8298: "(c) someone",
}
EXIF_TAGS = {
    0x9003: "2020:02:03 04:05:06",
    0x9004: "2020:02:03 04:05:07",
    0x9011: "+02:00",
    0x9291: "25",
    0xA434: "50 mm f/1.8",
    0x829A: IFDRational(1, 125),
    0x829D: IFDRational(28, 10),
    0x8827: 200,
    0x9204: IFDRational(-1, 3),
    0x920A: IFDRational(50),
    0xA405: 75,
}
GPS_TAGS = {
    1: "N",
    2: (IFDRational(51), IFDRational(2), IFDRational(333, 10)),
    3: "W",
    4: (IFDRational(0), IFDRational(7), IFDRational(40)),
    5: b"\x01",
    6: IFDRational(12, 1),
    29: "2020:02:03",
}
PRIVATE = {  # in the main directory, and in the second
    0: {0x0112: 6, 0x011A: IFDRational(300), 0x013C: "host", 0xC4A5: b"PrintIM", 0x9C9D: b"x\0"},
    EXIF: {
        0xA430: "owner 17",
        0xA431: "serial 4711",
        0xA435: "lens serial 815",
        0xA420: "unique",
        0x927C: b"maker note",
        0xA001: 1,
        0xA002: 9,
        0x9286: b"ASCII\0\0\0private",
    },
}


def photo(format: str = "JPEG", description: str | bytes = "a cat", **options) -> bytes:
    exif = Image.Exif()
    exif.update(PRIVATE[0])
    exif.update(MAIN_TAGS)
    exif[0x010E] = description
    exif.get_ifd(EXIF).update(EXIF_TAGS | PRIVATE[EXIF])
    exif.get_ifd(GPS).update(GPS_TAGS)
    if format == "AVIF":  # Pillow would write its texts anew, as ASCII
        del exif[0x0112]
    if format == "TIFF":  # Pillow writes its directories if they are items
        exif[EXIF] = dict(exif.get_ifd(EXIF))
        exif[GPS] = dict(exif.get_ifd(GPS))
    return encoded(COLORS, format, exif=exif, **options)


def as_read(value):
    """As Pillow reads what it wrote."""
    return value.decode("latin-1") if isinstance(value, bytes) and len(value) > 1 else value


def kept(data: bytes, format: str, metadata: str, provenance: str | None = '{"tau": 1}'):
    found = decode(io.BytesIO(data)).metadata
    encoder = Encoder(format, metadata=metadata)
    return encoder.encode(output_of(COLORS, metadata=found), provenance)


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("format", FORMATS)
def test_the_tags_of_the_list_are_kept_and_no_others(tmp_path, source, format):
    data = photo(source)
    path = tmp_path / f"a.{format}"
    path.write_bytes(kept(data, format, "basic"))
    assert read_provenance(path) == {"tau": 1}
    with Image.open(path) as image:
        exif = image.getexif()
        main = {tag: value for tag, value in exif.items() if tag not in (EXIF, GPS)}
        found = dict(exif.get_ifd(EXIF))
        assert not exif.get_ifd(GPS)
    for tag, value in MAIN_TAGS.items():
        assert main.pop(tag) == as_read(value)
    structure = {0x0100, 0x0101, 0x0102, 0x0103, 0x0106, 0x0111, 0x0115, 0x0116, 0x0117, 0x011C}
    structure |= {0x011A, 0x011B, 0x0128, 0x013D}
    assert main.keys() <= {0x010E, 700} | (structure if format == "tiff" else set())
    assert found.pop(0x9286) == b"ASCII\0\0\0a cat"
    assert found.pop(0x9000) == b"0232"
    assert found == {tag: as_read(value) for tag, value in EXIF_TAGS.items()}
    for secret in (b"owner 17", b"4711", b"lens serial", b"maker note", b"private", b"PrintIM"):
        assert secret in data
        assert secret not in path.read_bytes()


@pytest.mark.parametrize("format", FORMATS)
def test_the_place_is_kept_by_all_alone(format):
    with Image.open(io.BytesIO(kept(photo(), format, "all"))) as image:
        exif = image.getexif()
        assert dict(exif.get_ifd(GPS)) == GPS_TAGS
        assert exif.get_ifd(EXIF)[0xA434] == "50 mm f/1.8"


@pytest.mark.parametrize("format", FORMATS)
def test_by_default_nothing_is_kept(format):
    data = kept(photo(), format, "none")
    assert data == Encoder(format).encode(output_of(COLORS), '{"tau": 1}')
    for secret in (b"Maker", b"a cat", b"50 mm", b"2021"):
        assert secret not in data


@pytest.mark.parametrize("format", FORMATS)
def test_pixels_are_the_same_with_metadata(format):
    plain = decode(io.BytesIO(Encoder(format).encode(output_of(COLORS))))
    found = decode(io.BytesIO(kept(photo(), format, "all")))
    np.testing.assert_array_equal(found.image.values, plain.image.values)


@pytest.mark.parametrize(
    ("description", "comment"),
    [
        ("Chlo\u00eb".encode(), b"UNICODE\0" + "Chlo\u00eb".encode("utf-16-le")),
        (b"Chlo\xeb", b"UNICODE\0" + "Chlo\u00eb".encode("utf-16-le")),
        ('{"caflow": {"tau": 2}}', None),
        ("x" * 2001, None),
    ],
)
def test_descriptions_become_comments(description, comment):
    """Those of earlier results, and very long ones, do not."""
    with Image.open(io.BytesIO(kept(photo(description=description), "jpg", "basic"))) as image:
        assert image.getexif().get_ifd(EXIF).get(0x9286) == comment


def test_results_keep_what_results_kept():
    first = kept(photo(), "jpg", "all")
    second = kept(first, "png", "all")
    with Image.open(io.BytesIO(second)) as image:
        assert image.getexif()[0x010F] == "Maker"
        assert image.getexif().get_ifd(EXIF)[0x829A] == IFDRational(1, 125)
        assert dict(image.getexif().get_ifd(GPS)) == GPS_TAGS


def block(entries: list[bytes], order: str = "<") -> bytes:
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(f"{order}IH", 8, len(entries)) + b"".join(entries) + bytes(4)


def png_with(exif: bytes):
    return decode(io.BytesIO(encoded(COLORS, "PNG", exif=b"Exif\0\0" + exif)))


@pytest.mark.parametrize(
    "exif",
    [
        b"no EXIF at all",
        b"II*\0" + struct.pack("<I", 10_000),  # a directory beyond the end
        block([struct.pack("<HHII", 0x010F, 2, 100, 5000)]),  # a text beyond the end
        block([struct.pack("<HHII", EXIF, 4, 1, 99_999)]),  # another directory
        b"II*\0" + struct.pack("<IH", 8, 65535),  # more entries than there are
        block([]) + bytes(2**16),
    ],
)
def test_unreadable_or_large_exif_is_dropped(exif):
    found = png_with(exif)
    assert found.metadata is None
    np.testing.assert_array_equal(found.image.values, COLORS)
    data = Encoder("png", metadata="all").encode(output_of(COLORS, metadata=found.metadata))
    assert not Image.open(io.BytesIO(data)).getexif()


def test_values_of_other_types_are_left_out():
    """A fraction of denominator 0, a number for a text, a text for a number, too many numbers."""
    tail = 8 + 2 + 12 * 5 + 4
    exif = block(
        [
            struct.pack("<HHII", 0x010F, 4, 1, 7),
            struct.pack("<HHI4s", 0x0110, 2, 4, b"abc\0"),
            struct.pack("<HHII", EXIF, 4, 1, tail),
            struct.pack("<HHI4s", 0x013B, 2, 3, b"\x1b[\0\0"),
            struct.pack("<HHII", 0x8298, 2, 60_000, 8),
        ]
    )
    second = struct.pack("<H", 4)
    second += struct.pack("<HHII", 0x829A, 5, 1, 8)  # numbers from the header
    second += struct.pack("<HHI4s", 0x8827, 2, 4, b"200\0")
    second += struct.pack("<HHII", 0x9207, 3, 400, 8)
    second += struct.pack("<HHII", 0x829D, 5, 1, tail + 2 + 4 * 12) + struct.pack("<II", 1, 0)
    found = png_with(exif + second).metadata
    assert found[0] == {0x0110: b"abc", 0x013B: b"["}
    assert found.get(EXIF, {}).keys() <= {0x829A}
