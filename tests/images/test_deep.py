"""Images of 16 bits per channel and floats, with the extra `deep`: read as they are stored."""

from __future__ import annotations

import io
import itertools
import struct
import sys
import zlib

import numpy as np
import PIL
import pytest
from PIL import Image

from caflow_cli.errors import CaflowError
from caflow_cli.images import decode, read_image, read_provenance, read_size

from ..image_files import (
    COLORS,
    gray_table,
    linear_profile,
    png_of_16_bits,
    profile_with,
    srgb_profile,
    tiff_of_16_bits,
)

tifffile = pytest.importorskip("tifffile")
imagecodecs = pytest.importorskip("imagecodecs")

DEEP = np.random.default_rng(3).integers(0, 65536, (37, 50, 4), dtype=np.uint16)
ADOBE = imagecodecs.cms_profile("adobergb")
GRAY = imagecodecs.cms_profile("gray", gamma=1.8)


def tiff(values: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    kind = "rgb" if values.ndim == 3 and values.shape[2] > 2 else "minisblack"
    options = {"photometric": kind, "metadata": None, **options}
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def read(data: bytes, alpha: bool | None = None):
    return decode(io.BytesIO(data), "a.tif", alpha)


@pytest.mark.parametrize(
    ("depth", "channels", "layout", "compression"),
    list(
        itertools.product(
            (8, 16),
            (1, 3, 4),
            ("strips", "tiles", "planar", "planar tiles", "bigtiff"),
            (None, "lzw", "zlib", "zstd", "packbits"),
        )
    ),
)
def test_tiff_of_every_layout_is_read_as_stored(depth, channels, layout, compression):
    values = DEEP[..., :channels] if depth == 16 else (DEEP[..., :channels] >> 8).astype(np.uint8)
    options = {"compression": compression, "predictor": compression in ("lzw", "zlib")}
    if "tiles" in layout:
        options["tile"] = (16, 32)
    else:
        options["rowsperstrip"] = 5
    stored = values[..., 0] if channels == 1 else values
    if layout.startswith("planar") and channels > 1:
        stored = np.ascontiguousarray(np.moveaxis(values, -1, 0))
        options["planarconfig"] = "separate"
    if channels == 4:
        options["extrasamples"] = ["unassalpha"]
    if channels > 1:
        options["photometric"] = "rgb"
    found = read(tiff(stored, bigtiff=layout == "bigtiff", **options))
    assert found.image.values.dtype == values.dtype
    assert found.image.bits == depth
    np.testing.assert_array_equal(
        found.image.values, np.broadcast_to(values[..., :3], found.image.values.shape)
    )
    assert found.gray == (channels == 1)
    if channels == 4:
        np.testing.assert_array_equal(found.image.alpha, values[..., 3])
    else:
        assert found.image.alpha is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_infrared_is_apart(dtype):
    values = DEEP.astype(dtype)
    found = read(tiff(values, extrasamples=["unspecified"]), alpha=False)
    np.testing.assert_array_equal(found.image.values, values[..., :3])
    np.testing.assert_array_equal(found.image.infrared, values[..., 3])
    assert found.image.alpha is None


@pytest.mark.parametrize("extra", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("bands", [2, 4])
def test_a_band_that_is_not_described_is_what_is_said(monkeypatch, extra, dtype, stated, bands):
    """Bands may be anything, such as near infrared seen from space."""
    values = DEEP[..., :bands].astype(dtype)
    options = {"extrasamples": ["unspecified"]} if stated else {}
    kind = "rgb" if bands == 4 else "minisblack"
    data = tiff(values, photometric=kind, planarconfig="contig", **options)
    if not stated:
        data = data.replace(struct.pack("<H", 338), struct.pack("<H", 65000), 1)
    if not extra:
        if bands == 2:
            return  # which Pillow does not open
        monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(CaflowError) as caught:
        read(data)
    assert caught.value.message == (
        f"'a.tif' has {bands} bands, and does not say that the last is transparency"
    )
    assert "--alpha" in caught.value.hint
    assert "save the bands" in caught.value.hint
    if not extra:
        with pytest.raises(CaflowError, match="read only of lossless TIFFs, and with the extra"):
            read(data, alpha=True)
        return
    for alpha in (True, False):
        image = read(data, alpha).image
        np.testing.assert_array_equal(image.values[..., 0], values[..., 0])
        np.testing.assert_array_equal(image.alpha if alpha else image.infrared, values[..., -1])
        assert (image.infrared if alpha else image.alpha) is None


def test_what_a_tiff_keeps_of_a_tiff():
    found = read(
        tiff(
            DEEP[..., :3],
            compression="lzw",
            description=b"caf\xe9",
            resolution=(300, 600),
            resolutionunit=3,
        )
    )
    assert found.tiff.description == b"caf\xe9"
    assert found.tiff.compression == 5
    assert found.tiff.resolution == ((300, 1), (600, 1), 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["TIFF", "PNG"])
def test_orientation_is_applied_as_to_8_bits(kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    eight = io.BytesIO()
    Image.fromarray(COLORS).save(eight, "PNG", exif=exif)
    expected = decode(eight_at(eight)).image.shown.astype(np.uint16) * 257
    values = COLORS.astype(np.uint16) * 257
    if kind == "TIFF":
        data = tiff(values, extratags=[(274, 3, 1, orientation, True)])
    else:
        block = eight.getvalue()
        start = block.index(b"eXIf") - 4
        size = int.from_bytes(block[start : start + 4], "big") + 12
        plain = png_of_16_bits(values, 2)
        data = plain[:33] + block[start : start + size] + plain[33:]
    np.testing.assert_array_equal(read(data).image.values, expected)
    assert read_size(io.BytesIO(data)) == expected.shape[:2]


def eight_at(buffer: io.BytesIO) -> io.BytesIO:
    buffer.seek(0)
    return buffer


@pytest.mark.parametrize(("kind", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_png_of_16_bits_is_read_as_stored(kind, channels):
    values = DEEP[..., :channels]
    found = read(png_of_16_bits(values, kind))
    colors = values[..., : 1 if channels < 3 else 3]
    np.testing.assert_array_equal(
        found.image.values, np.broadcast_to(colors, found.image.values.shape)
    )
    if channels in (2, 4):
        np.testing.assert_array_equal(found.image.alpha, values[..., -1])
    assert found.gray == (channels < 3)


def test_a_png_of_broken_chunks_prints_nothing(capfd):
    """libpng has lines of its own on them."""
    plain = png_of_16_bits(DEEP[..., :3], 2)
    for kind, body in ((b"iCCP", b"x\0\0" + zlib.compress(b"no")), (b"bKGD", b"0")):
        crc = struct.pack(">I", zlib.crc32(kind + body))
        chunk = struct.pack(">I", len(body)) + kind + body + crc
        found = read(plain[:33] + chunk + plain[33:])
        np.testing.assert_array_equal(found.image.values, DEEP[..., :3])
    assert capfd.readouterr() == ("", "")


def test_the_transparent_color_of_16_bits_is_found_in_all_bits():
    values = np.full((1, 3, 3), 0x1234, np.uint16)
    values[0, 1, 2] += 1
    found = read(png_of_16_bits(values, 2, transparent=(0x1234,) * 3))
    assert found.image.alpha.tolist() == [[0, 65535, 0]]


@pytest.mark.parametrize("white_is_zero", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gray_of_either_polarity(white_is_zero, dtype):
    kind = "miniswhite" if white_is_zero else "minisblack"
    values = DEEP[..., 0].astype(dtype)
    found = read(tiff(values, photometric=kind))
    expected = ~values if white_is_zero else values
    assert found.image.values.dtype == dtype
    np.testing.assert_array_equal(found.image.values[..., 1], expected)


def test_premultiplied_colors_are_made_straight():
    alpha = np.full((4, 4, 1), 32768, np.uint16)
    values = np.concatenate([np.full((4, 4, 3), 16384, np.uint16), alpha], axis=2)
    found = read(tiff(values, extrasamples=["assocalpha"]))
    assert set(found.image.values.ravel().tolist()) == {round(16384 * 65535 / 32768)}


def test_premultiplied_colors_above_alpha_are_white():
    """Rounded alpha is often below a bright color."""
    values = np.array([[[51, 50, 49, 50], [7, 0, 7, 0]]], np.uint16)
    found = read(tiff(values, extrasamples=["assocalpha"]))
    assert found.image.values[0, 0].tolist() == [65535, 65535, round(49 / 50 * 65535)]
    assert found.image.values[0, 1].tolist() == [65535, 0, 65535]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_floats_from_0_to_1_are_seen_with_16_bits_and_kept(dtype):
    values = (DEEP[..., :3] / 65535).astype(dtype)
    found = read(tiff(values))
    expected = np.rint(values.astype(np.float64) * 65535)
    np.testing.assert_array_equal(found.image.seen.values, expected)
    np.testing.assert_array_equal(found.image.values, values.astype(np.float32))
    assert found.image.values.dtype == np.float32


@pytest.mark.parametrize("channels", [1, 3])
def test_what_pillow_does_not_read_is_read_in_8_bits(tmp_path, channels):
    floats = (DEEP[..., :channels] / 65535).astype(np.float32).squeeze()
    planes = np.ascontiguousarray(np.moveaxis(DEEP[..., :3], -1, 0))
    for data, values in (
        (tiff(floats), DEEP[..., :channels]),
        (tiff(planes, photometric="rgb", planarconfig="separate"), DEEP[..., :3]),
    ):
        shown = read_image(io.BytesIO(data))
        np.testing.assert_array_equal(shown, np.broadcast_to(values >> 8, shown.shape))
        (tmp_path / "a.tif").write_bytes(data)
        assert read_provenance(tmp_path / "a.tif") is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.5, "floats from 0.5 to 1.5, and those from 0 to 1 are read"),
        (-0.1, "floats from -0.1 to 0.5, and those from 0 to 1 are read"),
        (np.nan, "2 values that are no numbers, the first NaN at x 2, y 1"),
        (-np.inf, "2 values that are no numbers, the first infinity at x 2, y 1"),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_wrong_with_floats_is_said(value, said, channels):
    values = np.full((4, 4, channels), 0.5, np.float32)
    values[1, 2, -1] = values[3, 0, 0] = value
    with pytest.raises(CaflowError) as caught:
        read(tiff(values.squeeze()))
    band = ", band 3" if channels == 3 and "first" in said else ""
    assert caught.value.message == f"'a.tif' holds {said}{band}"
    assert ("a model of fields" in caught.value.hint) == (channels == 1)


def test_floats_of_an_image_need_the_extra_without_which_they_are_not_read(monkeypatch):
    values = np.full((4, 4, 3), 0.5, np.float32)
    two = tiff(DEEP[..., :2], photometric="minisblack", planarconfig="contig")
    files = [tiff(values), tiff(values[..., 0]), two]
    monkeypatch.setitem(sys.modules, "tifffile", None)
    for data in files:
        with pytest.raises(CaflowError) as caught:
            read(data)
        assert 'pip install -e ".[deep]"' in caught.value.hint


def bmp_4444() -> bytes:
    """A BMP of 16 bits with four bits for each color and for alpha."""
    head = struct.pack("<IiiHHIIiiII", 124, 8, 4, 1, 16, 3, 64, 0, 0, 0, 0)
    head += struct.pack("<4I", 0xF00, 0xF0, 0xF, 0xF000) + bytes(124 - 40 - 16)
    size = 14 + len(head) + 64
    return b"BM" + struct.pack("<IHHI", size, 0, 0, 14 + len(head)) + head + bytes(64)


LEVELS = (DEEP >> 8).astype(np.uint8)
SIX = np.concatenate([DEEP, DEEP[..., :2]], axis=2)
GRAYS = {"photometric": "minisblack"}
BANDS = {**GRAYS, "planarconfig": "contig"}
INKS = [(332, 3, 1, 2, True)]  # InkSet: not CMYK
SQUARE = [(530, 3, 2, (1, 1), True)]  # YCbCrSubSampling
DIM = np.arange(768, dtype=np.uint16).reshape(3, 256) % 256
JPEG_12 = bytes(imagecodecs.jpeg_encode(DEEP[..., 0] >> 4, bitspersample=12))
OTHER = "of a kind that is not read"
VOLUME = {"volumetric": True, "tile": (16, 16, 16), **GRAYS}


@pytest.mark.parametrize("extra", [True, False])
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (tiff(DEEP[..., :3] / 65535), "holds floats of 64 bits"),
        (tiff(DEEP[..., 0] / 65535, **GRAYS), "holds floats of 64 bits"),
        (tiff(DEEP[..., 0] * (1 + 1j), **GRAYS), "holds complex numbers"),
        (tiff(DEEP, **BANDS), "holds 4 bands that are not said to be colors"),
        (tiff(LEVELS[..., :3], **BANDS), "holds 3 bands that are not said to be colors"),
        (tiff(SIX[..., :5], photometric="rgb"), "holds 5 bands"),
        (tiff((SIX[..., :5] >> 8).astype(np.uint8), photometric="rgb"), "holds 5 bands"),
        (tiff((SIX[..., :5] >> 8).astype(np.uint8), photometric="separated"), "holds 5 bands"),
        (tiff(LEVELS, photometric="separated", extratags=INKS), "holds inks that are not those of"),
        (tiff(DEEP[..., 0].view(np.int16), **GRAYS), OTHER),
        (tiff(LEVELS[..., 0].view(np.int8), **GRAYS), OTHER),
        (tiff(DEEP[..., 0] >> 4, bitspersample=12, **GRAYS), OTHER),
        (tiff(DEEP[..., :3].astype(np.uint32)), OTHER),
        (tiff(DEEP[:16, :16, :1].repeat(16, 2), **VOLUME), OTHER),
        (tiff(DEEP[..., :3], photometric="cielab"), OTHER),
        (tiff(LEVELS[..., :3], compression="jpegxl"), OTHER),
        (JPEG_12, OTHER),
        (bytes(imagecodecs.jpegls_encode(LEVELS[..., 0])), OTHER),
        (bmp_4444(), OTHER),
        (tiff(LEVELS[..., :3], photometric="icclab"), OTHER),
        # Pillow 13 reads it.
        *[(tiff(LEVELS[..., :3], photometric="ycbcr", extratags=SQUARE), OTHER)]
        * (PIL.__version__ < "13"),
        (tiff(LEVELS[..., 0], photometric="palette", colormap=DIM), OTHER),
        (tiff(LEVELS[..., :3], compression="jpeg", bigtiff=True, byteorder=">"), OTHER),
        (tiff(DEEP[..., 0], photometric="miniswhite", compression="lzma"), OTHER),
    ],
)
def test_files_of_other_kinds_are_refused(monkeypatch, data, said, extra):
    if not extra:
        monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(CaflowError) as caught:
        read(data)
    assert said in caught.value.message
    assert "save it as" in caught.value.hint
    with pytest.raises(CaflowError):
        read(data[: len(data) // 2])


@pytest.mark.parametrize("extra", [True, False])
@pytest.mark.parametrize("compression", [None, "jpeg"])
def test_a_preview_on_the_first_page_is_not_taken_for_the_image(monkeypatch, extra, compression):
    """As raw photographs have it, which are TIFFs by their first bytes."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as file:
        options = {"photometric": "rgb", "metadata": None, "compression": compression}
        file.write(LEVELS[::4, ::4, :3], subfiletype=1, **options)
        file.write(LEVELS[..., :3], **options)
    if not extra:
        monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(CaflowError, match="begins with a preview of another image"):
        read(buffer.getvalue())
    alone = tiff(LEVELS[..., :3], subfiletype=1, compression=compression)
    assert read(alone).image.size == LEVELS.shape[:2]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_premultiplied_grays_are_made_straight(dtype):
    values = np.array([[[51, 100], [7, 0], [100, 100]]], dtype)  # (1, 3, 2)
    options = {"photometric": "minisblack", "planarconfig": "contig"}
    found = read(tiff(values, extrasamples=["assocalpha"], **options))
    most = np.iinfo(dtype).max
    assert found.image.values[0, :, 0].tolist() == [round(most * 0.51), most, most]
    assert found.image.alpha.tolist() == [[100, 0, 100]]


def test_a_tiff_cut_short_or_of_broken_pixels_is_damaged():
    data = tiff(DEEP[..., :3], compression="jpegxl")
    with pytest.raises(CaflowError, match="is damaged or truncated"):
        read(data[:-100])
    zipped = bytearray(tiff(DEEP[..., :3], compression="zlib"))
    zipped[-60:] = bytes(60)
    with pytest.raises(CaflowError, match="is damaged or truncated"):
        read(bytes(zipped))


@pytest.mark.parametrize(
    ("bits", "samples", "side", "said"),
    [(8, 4, 8300, "takes 276 MB"), (16, 3, 6800, "takes 277 MB"), (8, 1, 9000, "is damaged")],
)
def test_a_tiff_of_too_many_bytes_is_refused_before_a_pixel_is_decoded(bits, samples, side, said):
    """It has no pixels; the limit is 268 MB."""
    tags = {256: side, 257: side, 258: bits, 259: 1, 262: 1 if samples == 1 else 2, 273: 8}
    tags |= {277: samples, 278: side, 279: 1}
    body = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    with pytest.raises(CaflowError, match=said):
        read(b"II*\0" + struct.pack("<IH", 8, len(tags)) + body + bytes(4))


@pytest.mark.parametrize("kind", ["TIFF", "PNG"])
@pytest.mark.parametrize("extra", ["tifffile", "imagecodecs"])
def test_without_the_extra_8_bits_are_read_as_before(monkeypatch, kind, extra):
    values = DEEP[..., :3]
    data = tiff_of_16_bits(values) if kind == "TIFF" else png_of_16_bits(values, 2)
    monkeypatch.setitem(sys.modules, extra, None)
    found = read(data)
    assert found.deep
    np.testing.assert_array_equal(found.image.values, values >> 8)
    np.testing.assert_array_equal(found.image.values, decode(io.BytesIO(data)).image.shown)


@pytest.mark.parametrize("profile", [ADOBE, GRAY])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_profile_like_a_display_is_kept(profile, dtype):
    values = (DEEP[..., :3] >> 8).astype(dtype)
    if profile is GRAY:
        values = values[..., 0]
    for data in (tiff(values, iccprofile=profile), *pngs(values, profile)):
        found = read(data)
        assert found.image.profile == profile
        assert not found.converted
        np.testing.assert_array_equal(
            found.image.values.T[1].T, values if values.ndim == 2 else values[..., 1]
        )
        assert found.image.seen is found.image


def pngs(values: np.ndarray, profile: bytes) -> list[bytes]:
    """8 bits: a PNG with the profile."""
    if values.dtype != np.uint8:
        return []
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG", icc_profile=profile)
    return [buffer.getvalue()]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_profile_of_tables_or_beyond_256_kilobytes_is_converted(dtype):
    """Each file of results would hold it; and tables say more than curves do."""
    curves = srgb_profile(1.2)
    tables = profile_with(curves, b"A2B0", gray_table())
    large = profile_with(curves, b"note", b"data" + bytes(2**18))
    values = (DEEP[..., :3] >> 8).astype(dtype) * (257 if dtype == np.uint16 else 1)
    kept, in_gray, in_srgb = (read(tiff(values, iccprofile=p)) for p in (curves, tables, large))
    assert kept.image.seen.profile == curves
    for found in (in_gray, in_srgb):
        assert found.image.profile is not None
        assert found.image.seen.profile is None
    assert np.abs(in_srgb.image.shown.astype(int) - kept.image.shown).max() <= 1
    assert np.ptp(in_gray.image.shown.astype(int), axis=2).max() <= 2


def test_a_linear_profile_is_converted_in_16_bits():
    values = np.arange(65536, dtype=np.uint16).reshape(128, 512, 1)
    found = read(tiff(np.repeat(values, 3, 2), iccprofile=linear_profile()))
    np.testing.assert_array_equal(found.image.values, np.repeat(values, 3, 2))
    assert found.image.seen.profile is None
    light = values / 65535
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(found.image.seen.values - 65535 * srgb).max() < 8


def test_colors_without_a_profile_are_not_converted():
    found = read(tiff(DEEP[..., :3]))
    assert found.image.profile is None
    assert not found.converted
    np.testing.assert_array_equal(found.image.shown, DEEP[..., :3] >> 8)


def test_truncated_at_any_length():
    data = tiff(DEEP[..., :3], compression="zlib", rowsperstrip=8)
    for length in range(0, len(data), 997):
        with pytest.raises(CaflowError) as caught:
            read(data[:length])
        assert "\n" not in str(caught.value)


def test_a_strip_that_unpacks_to_more_than_it_holds_and_one_that_holds_less():
    good = tiff(DEEP[..., :3], compression="zlib", rowsperstrip=37, predictor=False)
    with tifffile.TiffFile(io.BytesIO(good)) as file:
        (offset,), (count,) = file.pages.first.dataoffsets, file.pages.first.databytecounts
    for size in (37 * 50 * 6 * 4000, 10):
        packed = zlib.compress(bytes(size), 9)
        if len(packed) > count:
            packed = packed[:count]
        data = bytearray(good)
        data[offset : offset + count] = packed.ljust(count, b"\0")
        with pytest.raises(CaflowError, match="damaged"):
            read(bytes(data))
