"""Image files of every kind for tests, made as bytes."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from caflow_cli import images
from caflow_cli.errors import CaflowError
from caflow_cli.images import read_image

COLORS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def encoded(image: Image.Image | np.ndarray, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, format, **options)
    return buffer.getvalue()


def png_of_16_bits(
    values: np.ndarray, color_type: int, transparent: tuple[int, ...] | None = None
) -> bytes:
    """A PNG of uint16 (H, W, channels), which Pillow cannot write in color."""
    height, width = values.shape[:2]
    rows = values.astype(">u2").reshape(height, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    hidden = [(b"tRNS", struct.pack(f">{len(transparent)}H", *transparent))] if transparent else []
    return png([(b"IHDR", header), *hidden, (b"IDAT", data)])


def png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of chunks, each a kind and a body."""
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in (*chunks, (b"IEND", b"")):
        data += (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )
    return data


def linear_profile() -> bytes:
    """An ICC profile with sRGB's primaries and no gamma."""
    return _profile(b"curv" + bytes(4) + struct.pack(">I", 0) + bytes(4))  # no entries: identity


def srgb_profile(scale: float) -> bytes:
    """sRGB's with another exponent: its own times a scale."""
    values = (2.4 * scale, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
    numbers = [round(value * 65536) for value in values]
    return _profile(b"para" + bytes(4) + struct.pack(">HH5i", 3, 0, *numbers))


def _profile(curve: bytes) -> bytes:
    """sRGB's own with its three curves exchanged."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    offset = len(data)
    data += curve
    (count,) = struct.unpack_from(">I", data, 128)
    for entry in range(132, 132 + 12 * count, 12):
        if data[entry : entry + 4] in (b"rTRC", b"gTRC", b"bTRC"):
            struct.pack_into(">II", data, entry + 4, offset, len(curve))
    struct.pack_into(">I", data, 0, len(data))
    return bytes(data)


def profile_with(profile: bytes, tag: bytes, body: bytes) -> bytes:
    """An ICC profile with one tag more."""
    (count,) = struct.unpack_from(">I", profile, 128)
    end = 132 + 12 * count
    entries = list(struct.iter_unpack(">4sII", profile[132:end]))
    entries = [(name, place + 12, size) for name, place, size in entries]
    entries.append((tag, len(profile) + 12, len(body)))
    table = b"".join(struct.pack(">4sII", *entry) for entry in entries)
    size = struct.pack(">I", len(profile) + 12 + len(body))
    return size + profile[4:128] + struct.pack(">I", count + 1) + table + profile[end:] + body


def gray_table() -> bytes:
    """A table from device to PCS (mft2, of 2×2×2 places) by which all colors are grays: gamma 2."""
    line = struct.pack(">2H", 0, 65535) * 3
    gamma = struct.pack(">256H", *(round(65535 * (k / 255) ** 2) for k in range(256))) * 3
    body = b"mft2" + bytes(4) + bytes((3, 3, 2, 0))
    body += struct.pack(">9i2H", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536, 256, 2) + gamma
    for r, g, b in np.ndindex(2, 2, 2):
        light = (r + g + b) / 3 * 32768
        body += struct.pack(">3H", *(round(white * light) for white in (0.9642, 1, 0.8249)))
    return body + line


def tiff_of_16_bits(
    values: np.ndarray, order: str = "<", extra: int | None = None, planar: bool = False
) -> bytes:
    """The same as TIFF; `extra` is 1 for premultiplied alpha, 2 for straight."""
    height, width, channels = values.shape
    body = (values.transpose(2, 0, 1) if planar else values).astype(f"{order}u2").tobytes()
    strips = channels if planar else 1
    size = len(body) // strips
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    start = 8 + len(bits)
    arrays = struct.pack(f"{order}{strips}I", *range(start, start + len(body), size))
    arrays += struct.pack(f"{order}{strips}I", *[size] * strips)
    after = start + len(body)  # where the arrays lie, and the directory behind them
    tags = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, channels, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, strips, after if planar else start),
        (277, 3, 1, channels),
        (278, 3, 1, height),
        (279, 4, strips, after + 4 * strips if planar else size),
        (284, 3, 1, 2 if planar else 1),
    ]
    if extra is not None:
        tags.append((338, 3, 1, extra))
    directory = struct.pack(f"{order}H", len(tags))
    for tag, kind, count, value in tags:
        inline = f"{order}HHIHxx" if kind == 3 and count == 1 else f"{order}HHII"
        directory += struct.pack(inline, tag, kind, count, value)
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(
        f"{order}I", after + len(arrays)
    )
    return header + bits + body + arrays + directory + bytes(4)


def decoded(data: bytes) -> np.ndarray:
    return read_image(io.BytesIO(data))


def refusal(source, name: str | None = None) -> CaflowError:
    with pytest.raises(CaflowError) as caught:
        read_image(source, name)
    error = caught.value
    assert error.exit_code == 1
    for line in (error.message, error.hint):
        assert line
        assert "\n" not in line
    return error


def source_of(
    values: np.ndarray,
    alpha: np.ndarray | None = None,
    gray: bool = False,
    profile: bytes | None = None,
) -> images.Input:
    """An image as if it were read from a file."""
    return images.Input(images.Raster(values, profile, alpha), gray)


def output_of(
    values: np.ndarray,
    alpha: np.ndarray | None = None,
    gray: bool = False,
    profile: bytes | None = None,
    metadata: Any = None,
) -> images.Output:
    """What a file is to hold."""
    return images.Output(images.Raster(values, profile, alpha), gray, metadata or {})
