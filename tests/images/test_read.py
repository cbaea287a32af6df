"""How image files become 8-bit sRGB colors and alpha, and what is refused."""

from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from image_files import (
    COLORS,
    decoded,
    encoded,
    linear_profile,
    png,
    png_of_16_bits,
    refusal,
    srgb_profile,
    tiff_of_16_bits,
)
from PIL import Image, ImageCms

from caflow_cli.errors import CaflowError
from caflow_cli.images import (
    FORMATS,
    Encoder,
    decode,
    encode_png,
    in_8_bits,
    read_image,
    read_provenance,
    read_size,
)

OPACITY = np.random.default_rng(5).integers(0, 256, COLORS.shape[:2], dtype=np.uint8)
LARGE = np.random.default_rng(6).integers(0, 256, (1100, 1000, 3), dtype=np.uint8)


def as_rgb(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[..., None], 3, 2)


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
    """Also images that are converted in several strips; a file's suffix does not matter."""
    for image in (COLORS, LARGE):
        data = encoded(image, format, **options)
        path = tmp_path / "no suffix"
        path.write_bytes(data)
        stream = io.BytesIO(b"header" + data)
        stream.seek(6)
        for source in (path, str(path), stream):
            found = read_image(source)
            assert found.dtype == np.uint8
            assert found.flags.writeable
            np.testing.assert_array_equal(found, image)


@pytest.mark.parametrize("format", ["JPEG", "AVIF"])
def test_lossy_formats_are_close(format):
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    assert np.abs(decoded(encoded(flat, format, quality=95)).astype(int) - flat).max() <= 3


def test_a_preview_is_no_frame():
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    camera = encoded(flat, "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    found = decode(io.BytesIO(camera))
    assert (found.image.values.shape, found.frames) == ((16, 16, 3), 1)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["PNG", "TIFF", "WEBP"])
def test_orientation_is_applied_to_colors_and_alpha(format, orientation):
    whole = np.dstack([COLORS, OPACITY])
    turned = {
        1: whole,
        2: whole[:, ::-1],
        3: whole[::-1, ::-1],
        4: whole[::-1],
        5: whole.transpose(1, 0, 2),
        6: np.rot90(whole, -1),
        7: np.rot90(whole, 2).transpose(1, 0, 2),
        8: np.rot90(whole),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    data = encoded(whole, format, exif=exif, **options)
    found = decode(io.BytesIO(data))
    assert read_size(io.BytesIO(data)) == found.image.values.shape[:2]
    np.testing.assert_array_equal(np.dstack([found.image.values, found.image.alpha]), turned)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("exif", [b"not exif at all", b"II*\0\xff\xff\xff\xff junk"])
def test_broken_exif_is_ignored_in_silence(exif):
    np.testing.assert_array_equal(decoded(encoded(COLORS, exif=b"Exif\0\0" + exif)), COLORS)


@pytest.mark.parametrize(
    ("format", "tolerance"), [("GIF", 3), ("WEBP", 0), ("TIFF", 0), ("PNG", 0)]
)
def test_the_first_of_several_frames_is_read(format, tolerance):
    frames = [Image.fromarray(np.roll(COLORS, i, 0)) for i in range(3)]
    options = {"lossless": True} if format == "WEBP" else {}
    data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **options)
    found = decode(io.BytesIO(data))
    assert found.frames == 3
    assert np.abs(found.image.values.astype(int) - COLORS).max() <= tolerance


def test_gray_1_bit_palette_and_cmyk_become_rgb():
    gray = COLORS[:, :, 0]
    np.testing.assert_array_equal(decoded(encoded(gray)), as_rgb(gray))
    bits = Image.fromarray(gray).point(lambda v: 255 if v > 127 else 0, "1")
    np.testing.assert_array_equal(decoded(encoded(bits)), as_rgb(np.where(gray > 127, 255, 0)))
    palette = Image.fromarray(COLORS).quantize(8)
    np.testing.assert_array_equal(decoded(encoded(palette)), np.asarray(palette.convert("RGB")))
    magenta_and_yellow = Image.new("CMYK", (4, 4), (0, 255, 255, 0))
    red = np.full((4, 4, 3), (255, 0, 0))
    np.testing.assert_array_equal(decoded(encoded(magenta_and_yellow, "TIFF")), red)
    lab = decoded(encoded(Image.new("LAB", (2, 2), (137, 128, 128)), "TIFF"))
    assert np.abs(lab.astype(int) - 128).max() <= 2


def test_a_profile_is_converted_to_srgb():
    """Of 8 and 16 bits, of gray and palettes."""
    ramp = np.arange(0, 256, 17, dtype=np.uint8)[None]
    light = as_rgb(ramp) / 255
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    expected = decoded(encoded(as_rgb(ramp), icc_profile=linear_profile()))
    assert np.abs(expected - 255 * srgb).max() <= 2
    for other in (ramp.astype(np.uint16) * 257, Image.fromarray(ramp).convert("P")):
        found = decoded(encoded(other, icc_profile=linear_profile()))
        assert np.abs(found.astype(int) - expected).max() <= 1


SRGB_PRIMARIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_srgb_and_broken_profiles_change_nothing():
    for profile in (SRGB, b"no"):
        np.testing.assert_array_equal(decoded(encoded(COLORS, icc_profile=profile)), COLORS)


@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_a_profile_of_srgb_is_kept_byte_for_byte(format, mode):
    """In every format; gray results have none of colors, which no file of gray may have."""
    if (format, mode) == ("JPEG", "RGBA"):
        return
    image = Image.fromarray(COLORS).convert(mode)
    source = decode(io.BytesIO(encoded(image, format, icc_profile=SRGB)))
    assert (source.image.profile, source.converted, source.unread) == (None, False, "")
    result = source.image.values[::-1]
    for name in FORMATS:
        data = Encoder(name).encode(source.output(result, keeps_gray=True))
        kept = Image.open(io.BytesIO(data)).info.get("icc_profile")
        assert kept == (None if source.gray else SRGB), name
        data = Encoder(name).encode(source.output(COLORS))
        assert Image.open(io.BytesIO(data)).info["icc_profile"] == SRGB


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("format", ["PNG", "TIFF", "JPEG"])
def test_a_broken_profile_is_named_and_not_kept(format, mode):
    if (format, mode) == ("PNG", "CMYK"):
        return
    image = Image.fromarray(COLORS).convert(mode)
    for broken in (b"no", SRGB[:300], bytes(500)):
        source = decode(io.BytesIO(encoded(image, format, icc_profile=broken)))
        assert "its color profile is broken, and is left out" in Encoder("png").losses(source)
        written = Encoder("png").encode(source.output(source.image.values))
        assert "icc_profile" not in Image.open(io.BytesIO(written)).info
    good = decode(io.BytesIO(encoded(Image.fromarray(COLORS), icc_profile=SRGB)))
    assert Encoder("png").losses(good) == []


@pytest.mark.parametrize("extra", [True, False])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ({b"gAMA": struct.pack(">I", 100000)}, "its colors are taken as sRGB, without its gAMA"),
        (
            {b"cHRM": struct.pack(">8I", *[31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000])},
            1,
        ),
        ({b"gAMA": struct.pack(">I", 45455), b"cHRM": SRGB_PRIMARIES}, ""),
        ({b"gAMA": struct.pack(">I", 100000), b"sRGB": b"\0"}, ""),
        ({b"cICP": bytes((9, 16, 0, 1))}, "its colors are stated by cICP, which is not read"),
        ({b"cICP": bytes((1, 13, 0, 1))}, ""),
    ],
)
def test_what_a_png_states_of_its_colors_and_is_not_read_is_said(
    monkeypatch, chunks, said, depth, extra
):
    if not extra:
        monkeypatch.setitem(sys.modules, "tifffile", None)
    rows = zlib.compress(b"\0" + bytes(range(2 * 3 * depth // 8)))
    header = struct.pack(">IIBBBBB", 2, 1, depth, 2, 0, 0, 0)
    data = png([(b"IHDR", header), *chunks.items(), (b"IDAT", rows)])
    source = decode(io.BytesIO(data))
    losses = [loss for loss in Encoder("png").losses(source) if "16 bits" not in loss]
    said = "its colors are taken as sRGB, without its cHRM" if said == 1 else said
    assert len(losses) == bool(said)
    assert all(loss.startswith(said) for loss in losses)


def test_a_profile_within_2_levels_of_srgb_changes_nothing_and_one_beyond_is_converted():
    grid = np.stack(np.meshgrid(*[np.linspace(0, 255, 9).astype(np.uint8)] * 3), -1)
    grid = grid.reshape(27, 27, 3)
    changes = set()
    for scale in np.arange(0.95, 1.05, 0.002):
        profile = srgb_profile(scale)
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        converted = np.asarray(ImageCms.applyTransform(Image.fromarray(grid), transform))
        change = int(np.abs(converted.astype(int) - grid).max())
        changes.add(change)
        found = decoded(encoded(grid, icc_profile=profile))
        np.testing.assert_array_equal(found, grid if change <= 2 else converted)
    assert {1, 2, 3} <= changes


def test_alpha_is_apart_and_keeps_the_colors_that_it_hides():
    gray = np.dstack([COLORS[..., 0], OPACITY])
    found = decode(io.BytesIO(encoded(gray)))
    np.testing.assert_array_equal(found.image.alpha, OPACITY)
    np.testing.assert_array_equal(found.image.values, as_rgb(COLORS[..., 0]))
    palette = Image.fromarray(COLORS).quantize(8)
    levels = bytes(range(0, 256, 36))
    found = decode(io.BytesIO(encoded(palette, transparency=levels)))
    np.testing.assert_array_equal(found.image.alpha, np.frombuffer(levels, np.uint8)[palette])
    np.testing.assert_array_equal(found.image.values, np.asarray(palette.convert("RGB")))
    gif = decode(io.BytesIO(encoded(palette, "GIF", transparency=0)))
    np.testing.assert_array_equal(gif.image.alpha, np.where(np.asarray(palette) == 0, 0, 255))
    bits = Image.fromarray(np.array([[0, 255, 0]], np.uint8)).convert("1")
    found = decode(io.BytesIO(encoded(bits, transparency=255)))
    assert found.image.alpha.tolist() == [[255, 0, 255]]
    one = tuple(map(int, COLORS[0, 0]))
    found = decode(io.BytesIO(encoded(COLORS, transparency=one)))
    assert found.image.alpha[0, 0] == 0
    assert found.image.alpha.sum() == 255 * (found.image.alpha.size - 1)
    opaque = encoded(np.dstack([COLORS, np.full_like(OPACITY, 255)]))
    assert decode(io.BytesIO(opaque)).image.alpha is None


@pytest.mark.parametrize(("bits", "step"), [(2, 85), (4, 17), (8, 1)])
def test_the_transparent_gray_of_few_bits_is_that_level_alone(bits, step):
    """Pillow scales the pixels, and not the level that is transparent."""
    levels = np.arange(4, dtype=np.uint8)
    packed = sum(int(v) << (bits * (3 - k)) for k, v in enumerate(levels))
    row = packed.to_bytes(4 * bits // 8, "big")
    header = struct.pack(">IIBBBBB", 4, 1, bits, 0, 0, 0, 0)
    hidden, pixels = struct.pack(">H", 2), zlib.compress(b"\0" + row)
    data = png([(b"IHDR", header), (b"tRNS", hidden), (b"IDAT", pixels)])
    found = decode(io.BytesIO(data))
    assert found.image.values[0, :, 0].tolist() == (levels * step).tolist()
    assert found.image.alpha.tolist() == [[255, 255, 0, 255]]


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_all_levels_of_16_bits_become_8_by_one_rule(format):
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    three = np.repeat(values[..., None], 3, 2)
    colors = png_of_16_bits(three, 2) if format == "PNG" else tiff_of_16_bits(three)
    for data in (encoded(values, format), colors):
        np.testing.assert_array_equal(decoded(data), as_rgb(values >> 8))
        np.testing.assert_array_equal(in_8_bits(decode(io.BytesIO(data)).image.values), three >> 8)


@pytest.mark.parametrize(
    ("kind", "alpha"),
    [(k, t) for k in ("png", "tiff <", "tiff >") for t in (False, True)] + [("png gray", True)],
)
def test_of_color_and_alpha_of_16_bits_the_high_byte_is_taken(kind, alpha):
    values = np.random.default_rng(1).integers(0, 65536, (5, 4, 4), dtype=np.uint16)
    values[0, 0, :3] = [65535, 0, 129]
    if kind == "png gray":
        values[..., 1] = values[..., 2] = values[..., 0]
        data = png_of_16_bits(values[..., [0, 3]], 4)
    else:
        stored = values if alpha else values[..., :3]
        if kind == "png":
            data = png_of_16_bits(stored, 6 if alpha else 2)
        else:
            data = tiff_of_16_bits(stored, kind[-1], 2 if alpha else None)
    found = decode(io.BytesIO(data))
    np.testing.assert_array_equal(found.image.shown, values[..., :3] >> 8)
    if alpha:
        np.testing.assert_array_equal(found.image.rounded(8).alpha, values[..., 3] >> 8)
    else:
        assert found.image.alpha is None


@pytest.mark.parametrize("deep", [True, False])
def test_a_transparent_color_of_16_bits_is_that_color_alone(deep, monkeypatch):
    if not deep:
        monkeypatch.setitem(sys.modules, "imagecodecs", None)
    values = np.full((2, 2, 3), 0x1234, np.uint16)
    values[0, 0] = 0x1334
    kinds = ((values, 2), (values[..., :1], 0)) if deep else ((values[..., :1], 0),)
    for stored, kind in kinds:
        data = png_of_16_bits(stored, kind, transparent=(0x1234,) * stored.shape[2])
        assert decode(io.BytesIO(data)).image.rounded(8).alpha.tolist() == [[255, 0], [0, 0]]


def test_a_color_of_16_bits_that_differs_in_one_channel_is_not_transparent():
    hidden = (0x1234, 0x5678, 0x9ABC)
    values = np.full((1, 4, 3), hidden, np.uint16)
    for channel in range(3):
        values[0, channel, channel] += 0x100
    found = decode(io.BytesIO(png_of_16_bits(values, 2, transparent=hidden)))
    assert found.image.rounded(8).alpha.tolist() == [[255, 255, 255, 0]]


def test_premultiplied_colors_are_made_straight():
    values = np.array([[[0x4000, 0x2000, 0, 0x8000]]], np.uint16)
    found = decode(io.BytesIO(tiff_of_16_bits(values, "<", 1)))
    assert np.abs(found.image.shown.astype(int) - [[[128, 64, 0]]]).max() <= 1
    assert found.image.rounded(8).alpha[0, 0] == 128


def test_integers_of_16_bit_range_are_rescaled():
    image = decoded(encoded(np.array([[0, 257, 32896, 65535]], np.int32), "TIFF"))
    np.testing.assert_array_equal(image[0, :, 0], [0, 1, 128, 255])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([[70000, 3]], np.int32), "'a.tif' holds 32-bit integers of unknown range"),
        (np.array([[-1, 3]], np.int32), "32-bit integers"),
        (np.array([[0, 255]], np.int32), "32-bit integers"),  # or 8 bits?
        (np.full((2, 2), 2, np.float32), "'a.tif' holds floats from 2 to 2"),
        (None, "in separate planes"),
    ],
)
def test_values_that_may_mean_anything_are_refused(monkeypatch, values, message):
    if values is None:  # which tifffile reads
        monkeypatch.setitem(sys.modules, "tifffile", None)
    deep = np.random.default_rng(1).integers(0, 65536, (4, 4, 3), dtype=np.uint16)
    data = tiff_of_16_bits(deep, planar=True) if values is None else encoded(values, "TIFF")
    assert message in refusal(io.BytesIO(data), "a.tif").message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.png", "no file '{}'"),
        ("", "'{}' is a folder"),
        ("empty.png", "'{}' is empty (0 bytes)"),
        ("empty.png/a.png", "cannot read '{}': Not a directory"),
        ("a\0.png", "cannot read"),
        ("two\nlines.png", r"two\nlines"),
        pytest.param(
            "closed.png",
            "cannot read '{}': Permission denied",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything"),
        ),
    ],
)
def test_paths_that_cannot_be_read(tmp_path, name, message):
    (tmp_path / "empty.png").touch()
    (tmp_path / "closed.png").touch(mode=0)
    assert message.format(tmp_path / name) in refusal(tmp_path / name).message


@pytest.mark.parametrize("data", [b"hello", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_what_is_no_image(data):
    assert refusal(io.BytesIO(data), "a.png").message.startswith("'a.png' is ")
    assert "<stream>" in refusal(io.BytesIO(data)).message


def test_heic_is_read_by_pillow_heif_alone(monkeypatch):
    """A stand-in for it opens whatever begins as HEIC does, as a PNG after that."""
    head = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf"
    data = io.BytesIO(head + encoded(COLORS))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    error = refusal(data, "phone.heic")
    assert error.message == "'phone.heic' is HEIC, which needs pillow-heif"
    assert error.hint.startswith("pip install pillow-heif")

    def register_heif_opener() -> None:
        def opened(stream, name):
            return Image.open(io.BytesIO(stream.read()[len(head) :]))

        Image.register_open("HEIF", opened, lambda prefix: prefix[4:8] == b"ftyp")

    module = SimpleNamespace(register_heif_opener=register_heif_opener)
    monkeypatch.setitem(sys.modules, "pillow_heif", module)
    data.seek(0)
    np.testing.assert_array_equal(read_image(data), COLORS)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "AVIF", "BMP", "TIFF", "GIF"])
def test_truncated_at_any_length(format):
    data = encoded(np.random.default_rng(4).integers(0, 256, (40, 40, 3), dtype=np.uint8), format)
    for length in range(20, len(data) * 3 // 4, max(1, len(data) // 25)):
        message = refusal(io.BytesIO(data[:length]), "cut").message
        assert message.startswith(("'cut' is damaged or truncated", "'cut' is not an image"))


def test_bombs_are_refused(monkeypatch):
    data = encoded(COLORS)
    for limit in (40, 20):  # Pillow warns up to twice its limit, and raises above
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        error = refusal(io.BytesIO(data), "a.png")
        assert error.message == f"'a.png' has more than {limit} pixels"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 54)
    np.testing.assert_array_equal(decoded(data), COLORS)


@pytest.mark.parametrize(
    ("depth", "kind", "side", "megabytes"),
    [(16, 6, 9400, 353), (8, 6, 9400, 353)],
)
def test_images_of_too_many_bytes_are_refused_before_a_pixel_is_decoded(
    depth, kind, side, megabytes
):
    """Within Pillow's limit of pixels, but of several channels and bytes."""
    data = bytearray(png_of_16_bits(np.zeros((1, 1, 4 if kind == 6 else 3), np.uint16), kind))
    data[16:25] = struct.pack(">IIB", side, side, depth)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    message = f"'a.png' takes {megabytes} MB in memory, more than 268"
    assert refusal(io.BytesIO(data), "a.png").message == message


def test_a_tile_that_is_larger_than_its_image_is_refused():
    tags = [(256, 8), (257, 8), (258, 8), (259, 8), (262, 1), (322, 60000), (323, 60000)]
    tags += [(324, 8), (325, 64)]
    body = b"".join(struct.pack("<HHIHxx", tag, 3, 1, value) for tag, value in tags)
    data = b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + bytes(4)
    assert "MB in memory, more than 268" in refusal(io.BytesIO(data), "a.tif").message


@pytest.mark.parametrize("data", [encoded(COLORS, "JPEG", comment="caflow"), encode_png(COLORS)])
def test_images_of_others_have_no_provenance(tmp_path, data):
    path = tmp_path / "a"
    path.write_bytes(data)
    assert read_provenance(path) is None
    path.write_bytes(encode_png(COLORS, "[1]"))
    assert read_provenance(path) is None
    with pytest.raises(CaflowError, match="no file"):
        read_provenance(tmp_path / "gone.png")
