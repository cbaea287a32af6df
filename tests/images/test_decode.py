from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from pictures import COLOURS, decoded, encoded, refusal
from PIL import Image

from caflow_cli.images import SUFFIXES, decode, read_image


def test_suffixes():
    assert set(SUFFIXES) == {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
    ],
)
def test_lossless_formats_come_back(tmp_path, format, options):
    data = encoded(COLOURS, format, **options)
    path = tmp_path / "no suffix is needed"
    path.write_bytes(data)
    for source in (path, str(path), io.BytesIO(data)):
        image = read_image(source)
        assert image.dtype == np.uint8
        assert image.flags.writeable
        np.testing.assert_array_equal(image, COLOURS)


def test_a_stream_is_read_from_where_it_stands():
    stream = io.BytesIO(b"header" + encoded(COLOURS))
    stream.seek(6)
    np.testing.assert_array_equal(read_image(stream), COLOURS)


def test_jpeg_is_close():
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    assert np.abs(decoded(encoded(flat, "JPEG", quality=95)).astype(int) - flat).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_orientation_is_applied(format, orientation):
    turned = {
        1: COLOURS,
        2: COLOURS[:, ::-1],
        3: COLOURS[::-1, ::-1],
        4: COLOURS[::-1],
        5: COLOURS.transpose(1, 0, 2),
        6: np.rot90(COLOURS, -1),
        7: np.rot90(COLOURS, 2).transpose(1, 0, 2),
        8: np.rot90(COLOURS),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(COLOURS, format, exif=exif, **options)
    np.testing.assert_array_equal(decoded(data), turned)


def test_broken_exif_is_ignored():
    data = encoded(COLOURS, exif=b"Exif\0\0not exif at all")
    np.testing.assert_array_equal(decoded(data), COLOURS)


def test_grey_1_bit_and_palette_become_rgb():
    grey = COLOURS[:, :, 0]
    np.testing.assert_array_equal(decoded(encoded(grey)), np.repeat(grey[:, :, None], 3, 2))
    bits = Image.fromarray(grey).point(lambda v: 255 if v > 127 else 0, "1")
    np.testing.assert_array_equal(
        decoded(encoded(bits)), np.repeat(np.where(grey > 127, 255, 0)[:, :, None], 3, 2)
    )
    palette = Image.fromarray(COLOURS).quantize(8)
    np.testing.assert_array_equal(decoded(encoded(palette)), np.asarray(palette.convert("RGB")))


def test_read_image_drops_alpha_and_keeps_what_it_hides():
    alpha = np.zeros((*COLOURS.shape[:2], 1), np.uint8)
    np.testing.assert_array_equal(decoded(encoded(np.concatenate([COLOURS, alpha], 2))), COLOURS)
    grey = np.concatenate([COLOURS[:, :, :1], alpha], 2)
    np.testing.assert_array_equal(decoded(encoded(grey)), np.repeat(COLOURS[:, :, :1], 3, 2))
    palette = Image.fromarray(COLOURS).quantize(8)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(decoded(encoded(palette, transparency=0)), expected)


OPACITY = np.random.default_rng(5).integers(0, 256, COLOURS.shape[:2], dtype=np.uint8)


def transparent(mode: str) -> Image.Image:
    image = Image.fromarray(COLOURS).convert("L" if mode == "LA" else "RGB")
    image.putalpha(Image.fromarray(OPACITY))
    return image


@pytest.mark.parametrize(
    ("mode", "format"), [("RGBA", "PNG"), ("RGBA", "TIFF"), ("RGBA", "WEBP"), ("LA", "PNG")]
)
def test_alpha_stands_apart_and_turns_with_the_picture(mode, format):
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    picture = decode(io.BytesIO(encoded(transparent(mode), format, exif=exif, **options)))
    assert picture.format == format
    np.testing.assert_array_equal(picture.alpha, np.rot90(OPACITY, -1))
    colours = np.asarray(transparent(mode).convert("RGB"))
    np.testing.assert_array_equal(picture.rgb, np.rot90(colours, -1))


def test_the_alpha_of_palettes_grey_and_bits():
    palette = Image.fromarray(COLOURS).quantize(8)
    levels = bytes(range(0, 256, 36))
    picture = decode(io.BytesIO(encoded(palette, transparency=levels)))
    np.testing.assert_array_equal(picture.alpha, np.frombuffer(levels, np.uint8)[palette])
    np.testing.assert_array_equal(picture.rgb, np.asarray(palette.convert("RGB")))
    gif = decode(io.BytesIO(encoded(palette, "GIF", transparency=0)))
    np.testing.assert_array_equal(gif.alpha, np.where(np.asarray(palette) == 0, 0, 255))
    grey = Image.fromarray(np.array([[1, 2, 3]], np.uint8))
    np.testing.assert_array_equal(
        decode(io.BytesIO(encoded(grey, transparency=2))).alpha, [[255, 0, 255]]
    )
    bits = grey.point([0, 0, 255, 0] * 64, "1")
    np.testing.assert_array_equal(
        decode(io.BytesIO(encoded(bits, transparency=255))).alpha, [[255, 0, 255]]
    )
    colour = Image.fromarray(COLOURS)
    picture = decode(io.BytesIO(encoded(colour, transparency=tuple(map(int, COLOURS[0, 0])))))
    assert picture.alpha[0, 0] == 0
    assert picture.alpha.sum() == 255 * (picture.alpha.size - 1)


def test_opaque_alpha_is_none():
    assert decode(io.BytesIO(encoded(Image.fromarray(COLOURS).convert("RGBA")))).alpha is None
    assert decode(io.BytesIO(encoded(COLOURS, "JPEG"))).alpha is None


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_truncated(format):
    data = encoded(np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8), format)
    error = refusal(io.BytesIO(data[: len(data) // 2]), "half.png")
    assert error.message.startswith("'half.png' is ")
    assert "complete" in error.hint


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF"])
def test_truncated_at_any_length(format):
    data = encoded(np.random.default_rng(4).integers(0, 256, (40, 40, 3), dtype=np.uint8), format)
    for length in range(20, len(data) * 3 // 4, max(1, len(data) // 25)):
        message = refusal(io.BytesIO(data[:length]), "cut").message
        assert message in ("'cut' is damaged or truncated", "'cut' is not a picture")


@pytest.mark.filterwarnings("error")
def test_cut_exif_is_ignored_in_silence():
    data = encoded(COLOURS, exif=b"Exif\0\0II*\0\xff\xff\xff\xff junk")
    np.testing.assert_array_equal(decoded(data), COLOURS)


@pytest.mark.parametrize(("bits", "step"), [(2, 85), (4, 17), (8, 1)])
def test_the_transparent_grey_of_few_bits_is_that_level_alone(bits, step):
    """Pillow scales the pixels, and not the level that is transparent."""
    levels = np.arange(4, dtype=np.uint8)
    packed = sum(int(v) << (8 * bits // 8) * (3 - k) for k, v in enumerate(levels))
    row = packed.to_bytes(4 * bits // 8, "big")

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0))
    data += chunk(b"tRNS", struct.pack(">H", 2)) + chunk(b"IDAT", zlib.compress(b"\0" + row))
    picture = decode(io.BytesIO(data + chunk(b"IEND", b"")))
    assert picture.rgb[0, :, 0].tolist() == (levels * step).tolist()
    assert picture.alpha.tolist() == [[255, 255, 0, 255]]
