"""Refusals before a pixel is decoded."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import COLOURS, decoded, encoded, refusal
from PIL import Image

from caflow_cli.errors import CaflowError
from caflow_cli.images import decode


@pytest.mark.parametrize(
    ("format", "tolerance"), [("GIF", 3), ("WEBP", 0), ("TIFF", 0), ("PNG", 0)]
)
def test_animations_and_pages_are_refused_unless_one_is_named(format, tolerance):
    frames = [Image.fromarray(np.roll(COLOURS, i, 0)) for i in range(3)]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    error = refusal(io.BytesIO(data), "a.gif")
    assert error.message == "'a.gif' has 3 frames"
    assert error.hint == "--frame N takes one, 1 to 3"
    for frame in (1, 3):
        image = decode(io.BytesIO(data), frame=frame).rgb
        assert np.abs(image.astype(int) - np.roll(COLOURS, frame - 1, 0)).max() <= tolerance
    with pytest.raises(CaflowError, match="no frame 4"):
        decode(io.BytesIO(data), frame=4)


def test_a_still_picture_is_its_every_frame():
    np.testing.assert_array_equal(decode(io.BytesIO(encoded(COLOURS)), frame=7).rgb, COLOURS)


def test_a_camera_jpeg_with_preview_is_read():
    flat = Image.new("RGB", (16, 16), (200, 100, 50))
    data = encoded(flat, "MPO", save_all=True, append_images=[flat.resize((8, 8))])
    assert decoded(data).shape == (16, 16, 3)


def test_missing_folder_and_empty(tmp_path):
    error = refusal(tmp_path / "gone.png")
    assert error.message == f"no file '{tmp_path}/gone.png'"
    error = refusal(tmp_path)
    assert error.message == f"'{tmp_path}' is a folder"
    assert f"{tmp_path}/*" in error.hint
    (tmp_path / "empty.png").touch()
    error = refusal(tmp_path / "empty.png")
    assert error.message == f"'{tmp_path}/empty.png' is empty (0 bytes)"


def test_impossible_paths(tmp_path):
    (tmp_path / "file").touch()
    assert "cannot read" in refusal(tmp_path / "file" / "a.png").message
    assert "cannot read" in refusal("a\0.png").message
    assert "\\n" in refusal("two\nlines.png").message


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_unreadable(tmp_path):
    path = tmp_path / "a.png"
    path.touch(mode=0)
    assert refusal(path).message.startswith(f"cannot read '{path}'")


def test_unreadable_as_the_system_says(tmp_path, monkeypatch):
    def deny(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", deny)
    error = refusal(tmp_path / "a.png")
    assert error.message == f"cannot read '{tmp_path}/a.png': Permission denied"
    assert "permissions" in error.hint


def damaged_tiff(compression: str, tag: int | None = None) -> bytes:
    """With the first byte of its pixels changed, or the value of a tag."""
    data = bytearray(encoded(COLOURS, "TIFF", compression=compression))
    if tag is None:
        data[Image.open(io.BytesIO(data)).tag_v2[273][0]] ^= 0xFF  # StripOffsets
    else:
        at = data.index(struct.pack("<HH", tag, 3))
        struct.pack_into("<H", data, at + 8, 60000)
    return bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        *(damaged_tiff(c) for c in ("tiff_lzw", "tiff_adobe_deflate")),
        damaged_tiff("tiff_lzw", 277),  # SamplesPerPixel
    ],
    ids=["lzw", "deflate", "samples"],
)
def test_libraries_say_nothing_of_a_damaged_file(data, tmp_path):
    """Neither libtiff's C code nor Pillow's logger; and stderr is there again afterwards."""
    (tmp_path / "a.tif").write_bytes(data)
    code = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
from caflow_cli.errors import CaflowError
from caflow_cli.images import read_image
def refused(_):
    try:
        read_image("a.tif")
    except CaflowError as error:
        return error.message
with ThreadPoolExecutor(4) as pool:
    print({*pool.map(refused, range(20))})
os.write(2, b"there again")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    assert b"'a.tif' is damaged or truncated" in done.stdout
    assert done.stderr == b"there again"


def test_a_file_too_large_to_be_a_picture(tmp_path, monkeypatch):
    monkeypatch.setattr("caflow_cli.images.source.MAX_BYTES", 99)
    (tmp_path / "a.png").write_bytes(b"x" * 100)
    assert "has more than" in refusal(tmp_path / "a.png").message


@pytest.mark.parametrize("data", [b"hello", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_not_a_picture(data):
    assert refusal(io.BytesIO(data), "a.png").message.startswith("'a.png' is ")


def test_a_stream_without_a_name_has_one():
    assert "<stream>" in refusal(io.BytesIO(b"hello")).message


def test_bombs_are_refused(monkeypatch):
    data = encoded(COLOURS)
    for limit in (40, 20):  # Pillow warns up to twice its limit, and raises above
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        error = refusal(io.BytesIO(data), "a.png")
        assert error.message == f"'a.png' has more than {limit} pixels"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 54)
    np.testing.assert_array_equal(decoded(data), COLOURS)
