from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import COLOURS, encoded, linear_profile, png_of_16_bits, tiff_of_16_bits
from PIL import Image, ImageCms

from caflow_cli.errors import CaflowError
from caflow_cli.images import SUFFIXES, decode, read_image


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


def test_cmyk_becomes_rgb():
    cmyk = np.zeros((4, 4, 4), np.uint8)
    cmyk[:, :, 1:3] = 255  # magenta and yellow
    red = decoded(encoded(Image.fromarray(cmyk, "CMYK"), "TIFF"))
    np.testing.assert_array_equal(red, np.full((4, 4, 3), (255, 0, 0), np.uint8))


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_grey_of_16_bits_is_rescaled(format):
    values = np.array([[0, 128, 129, 255, 256], [32767, 32768, 65278, 65407, 65535]], np.uint16)
    wanted = np.rint(values / 257).astype(np.uint8)
    assert wanted.max() == 255
    assert len(set(wanted.ravel())) > 4  # clipping would leave two values
    np.testing.assert_array_equal(
        decoded(encoded(values, format)), np.repeat(wanted[:, :, None], 3, 2)
    )


def test_32_bit_integers_of_16_bit_range_are_rescaled():
    values = np.array([[0, 257, 32896, 65535]], np.int32)
    image = decoded(encoded(values, "TIFF"))
    np.testing.assert_array_equal(image[0, :, 0], [0, 1, 128, 255])


@pytest.mark.parametrize(
    ("kind", "transparent"),
    [(k, t) for k in ("png", "tiff <", "tiff >") for t in (False, True)] + [("png grey", True)],
)
def test_colour_of_16_bits_is_rescaled_and_rounded(kind, transparent):
    values = np.random.default_rng(1).integers(0, 65536, (5, 4, 4), dtype=np.uint16)
    values[0, 0, :3] = [65535, 0, 129]
    if kind == "png grey":
        values[..., 1] = values[..., 2] = values[..., 0]
        data = png_of_16_bits(values[..., [0, 3]], 4)
    else:
        stored = values if transparent else values[..., :3]
        if kind == "png":
            data = png_of_16_bits(stored, 6 if transparent else 2)
        else:
            data = tiff_of_16_bits(stored, kind[-1], 2 if transparent else None)
    picture = decode(io.BytesIO(data))
    np.testing.assert_array_equal(picture.rgb, np.rint(values[..., :3] / 257))
    if transparent:
        np.testing.assert_array_equal(picture.alpha, np.rint(values[..., 3] / 257))
    else:
        assert picture.alpha is None


def test_a_transparent_colour_of_16_bits_is_that_colour_alone():
    values = np.full((2, 2, 3), 0x1234, np.uint16)
    values[0, 0] = 0x1233  # the same high bytes
    data = png_of_16_bits(values, 2, transparent=(0x1234,) * 3)
    np.testing.assert_array_equal(decode(io.BytesIO(data)).alpha, [[255, 0], [0, 0]])
    data = png_of_16_bits(values[..., :1], 0, transparent=(0x1234,))
    np.testing.assert_array_equal(decode(io.BytesIO(data)).alpha, [[255, 0], [0, 0]])


def test_premultiplied_colours_are_made_straight():
    values = np.array([[[0x4000, 0x2000, 0, 0x8000]]], np.uint16)
    picture = decode(io.BytesIO(tiff_of_16_bits(values, "<", 1)))
    assert np.abs(picture.rgb - [[[128, 64, 0]]]).max() <= 1
    assert picture.alpha[0, 0] == 128


def test_planes_of_16_bits_are_refused_not_misread():
    planes = np.random.default_rng(1).integers(0, 65536, (3, 4, 4), dtype=np.uint16)
    data = tiff_of_16_bits(planes.reshape(4, 4, 3), planar=True)
    assert "plane by plane" in refusal(io.BytesIO(data)).message


@pytest.mark.parametrize(
    "values", [np.array([[70000, 3]], np.int32), np.array([[-1, 3]], np.int32)]
)
def test_integers_of_unknown_range_are_refused(values):
    assert "32-bit integers" in refusal(io.BytesIO(encoded(values, "TIFF"))).message


def test_floats_are_refused():
    error = refusal(io.BytesIO(encoded(np.ones((2, 2), np.float32), "TIFF")), "a.tif")
    assert error.message == "'a.tif' holds floats, whose range is not known"
    assert "8 or 16 bits" in error.hint


def test_an_srgb_profile_changes_nothing():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(decoded(encoded(COLOURS, icc_profile=profile)), COLOURS)


def test_a_broken_profile_changes_nothing():
    np.testing.assert_array_equal(decoded(encoded(COLOURS, icc_profile=b"no profile")), COLOURS)


def test_a_profile_is_converted_to_srgb():
    ramp = np.repeat(np.arange(0, 256, 17, dtype=np.uint8)[None, :, None], 3, 2)
    light = ramp / 255
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    image = decoded(encoded(ramp, icc_profile=linear_profile()))
    assert np.abs(image - 255 * srgb).max() <= 2
    assert image[0, 3, 0] == pytest.approx(124, abs=2)  # 51 as it is in the file


def test_a_profile_of_a_16_bit_and_a_palette_picture_is_converted():
    ramp = np.arange(0, 256, 17, dtype=np.uint8)[None]
    rgb = np.repeat(ramp[:, :, None], 3, 2)
    expected = decoded(encoded(rgb, icc_profile=linear_profile()))
    grey = encoded(ramp.astype(np.uint16) * 257, icc_profile=linear_profile())
    np.testing.assert_array_equal(decoded(grey), expected)
    palette = encoded(Image.fromarray(ramp).convert("P"), icc_profile=linear_profile())
    np.testing.assert_array_equal(decoded(palette), expected)


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


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_truncated(format):
    data = encoded(np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8), format)
    error = refusal(io.BytesIO(data[: len(data) // 2]), "half.png")
    assert error.message.startswith("'half.png' is ")
    assert "complete" in error.hint


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
