from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from caflow_cli.errors import CaflowError
from caflow_cli.images import (
    SUFFIXES,
    atomic_write,
    encode_png,
    read_image,
    read_text_chunk,
    write_png,
)

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def encoded(image: Image.Image | np.ndarray, format: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, format, **options)
    return buffer.getvalue()


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def decoded(data: bytes) -> np.ndarray:
    return read_image(io.BytesIO(data))


def png_of_16_bits(values: np.ndarray, colour_type: int) -> bytes:
    """A PNG of uint16 (H, W, channels), which Pillow cannot write in colour."""
    height, width = values.shape[:2]
    rows = values.astype(">u2").reshape(height, -1)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = b""
    for kind, body in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
        crc = struct.pack(">I", zlib.crc32(kind + body))
        chunks += struct.pack(">I", len(body)) + kind + body + crc
    return b"\x89PNG\r\n\x1a\n" + chunks


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


def test_alpha_is_dropped_and_hides_nothing():
    alpha = np.zeros((*COLOURS.shape[:2], 1), np.uint8)
    np.testing.assert_array_equal(decoded(encoded(np.concatenate([COLOURS, alpha], 2))), COLOURS)
    grey = np.concatenate([COLOURS[:, :, :1], alpha], 2)
    np.testing.assert_array_equal(decoded(encoded(grey)), np.repeat(COLOURS[:, :, :1], 3, 2))
    palette = Image.fromarray(COLOURS).quantize(8)
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(decoded(encoded(palette, transparency=0)), expected)


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


def test_colour_of_16_bits_is_rescaled():
    values = np.random.default_rng(1).integers(0, 65536, (5, 4, 3), dtype=np.uint16)
    image = decoded(png_of_16_bits(values, 2))
    assert np.abs(image - values / 257).max() < 1


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


def linear_profile() -> bytes:
    """An ICC profile with sRGB's primaries and no gamma: sRGB's own with three curves exchanged."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    curve = b"curv" + bytes(4) + struct.pack(">I", 0) + bytes(4)  # no entries: identity
    offset = len(data)
    data += curve
    (count,) = struct.unpack_from(">I", data, 128)
    for entry in range(132, 132 + 12 * count, 12):
        if data[entry : entry + 4] in (b"rTRC", b"gTRC", b"bTRC"):
            struct.pack_into(">II", data, entry + 4, offset, 12)
    struct.pack_into(">I", data, 0, len(data))
    return bytes(data)


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


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF", "PNG"])
def test_animations_and_pages_are_refused(format):
    frames = [Image.fromarray(np.roll(COLOURS, i, 0)) for i in range(3)]
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:])
    error = refusal(io.BytesIO(data), "a.gif")
    assert error.message == "'a.gif' has 3 frames"
    assert "one frame" in error.hint


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
    def deny(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", deny)
    error = refusal(tmp_path / "a.png")
    assert error.message == f"cannot read '{tmp_path}/a.png': Permission denied"
    assert "permissions" in error.hint


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_truncated(format):
    data = encoded(np.random.default_rng(2).integers(0, 256, (64, 64, 3), dtype=np.uint8), format)
    error = refusal(io.BytesIO(data[: len(data) // 2]), "half.png")
    assert error.message.startswith("'half.png' is ")
    assert "complete" in error.hint


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


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 1), (3, 5, 3), (3, 5, 4)])
def test_png_round_trip(shape):
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    with Image.open(io.BytesIO(encode_png(image))) as picture:
        assert picture.format == "PNG"
        stored = image[:, :, 0] if shape == (3, 5, 1) else image
        np.testing.assert_array_equal(np.asarray(picture), stored)


def test_png_of_a_view_is_that_of_its_copy():
    view = COLOURS[::-1, 1::2]
    assert encode_png(view) == encode_png(view.copy())


@pytest.mark.parametrize(
    "image", [np.zeros((2, 2, 3), np.float32), np.zeros((2, 2, 2), np.uint8), np.zeros(3, np.uint8)]
)
def test_png_of_something_else(image):
    with pytest.raises(ValueError, match=r"uint8|\(H, W\)"):
        encode_png(image)


def test_text_chunks(tmp_path):
    text = {"caflow": '{"tau": 0.5}', "other": "τ = ½ 日本"}
    path = tmp_path / "a.png"
    write_png(path, COLOURS, text)
    data = path.read_bytes()
    assert data == encode_png(COLOURS, text)
    assert b"tEXtcaflow\0" in data
    assert b"iTXtother\0" in data
    assert read_text_chunk(path, "caflow") == text["caflow"]
    assert read_text_chunk(path, "other") == text["other"]
    assert type(read_text_chunk(path, "other")) is str
    assert read_text_chunk(path, "none") is None
    np.testing.assert_array_equal(read_image(path), COLOURS)


def test_text_of_files_without(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(COLOURS, "JPEG", comment="caflow"))
    assert read_text_chunk(path, "caflow") is None
    with pytest.raises(CaflowError, match="no file"):
        read_text_chunk(tmp_path / "gone.png", "caflow")


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_writes_respect_the_umask(tmp_path, umask, mode):
    old = os.umask(umask)
    try:
        atomic_write(tmp_path / "a", b"1")
        atomic_write(tmp_path / "a", b"2")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
    assert (tmp_path / "a").read_bytes() == b"2"
    assert names_in(tmp_path) == ["a"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch, step):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(CaflowError) as caught:
        atomic_write(path, b"new")
    assert caught.value.message == f"cannot write '{path}': No space left on device"
    assert caught.value.hint
    assert caught.value.exit_code == 1
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a"]


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(tmp_path / "a", b"new")
    assert names_in(tmp_path) == []


def test_the_rename_is_of_a_whole_file_in_the_same_folder(tmp_path, monkeypatch):
    seen = []
    replace = os.replace

    def watch(source: Path, target: Path) -> None:
        seen.append((Path(source).parent, Path(source).read_bytes(), Path(target)))
        replace(source, target)

    monkeypatch.setattr(os, "replace", watch)
    atomic_write(tmp_path / "a", b"data")
    assert seen == [(tmp_path, b"data", tmp_path / "a")]


def test_writes_where_none_can_be(tmp_path):
    with pytest.raises(CaflowError) as caught:
        atomic_write(tmp_path / "none" / "a.png", b"")
    assert caught.value.message.startswith(f"cannot write '{tmp_path}/none/a.png'")
    assert caught.value.hint == f"mkdir -p {tmp_path}/none"
    with pytest.raises(CaflowError, match="cannot write"):
        atomic_write(tmp_path, b"")
    (tmp_path / "file").touch()
    with pytest.raises(CaflowError, match="cannot write"):
        atomic_write(tmp_path / "file" / "a.png", b"")
    assert names_in(tmp_path) == ["file"]


def test_names_as_long_as_the_system_allows(tmp_path):
    atomic_write(tmp_path / ("é" * 120 + ".png"), b"data")
    assert (tmp_path / ("é" * 120 + ".png")).read_bytes() == b"data"


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_links_are_followed(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_bytes() == b"new"


def test_a_device_is_written_not_replaced():
    atomic_write(Path(os.devnull), b"data")
    assert Path(os.devnull).exists()
    assert not Path(os.devnull).is_file()


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
