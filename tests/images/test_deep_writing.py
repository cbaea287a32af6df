"""Results of 16 bits per channel and floats, with the extra `deep`: written as their input is."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin, TiffTags

from caflow_cli.images import Encoder, decode, read_image, read_provenance

from ..image_files import COLORS, encoded, output_of, source_of
from .test_deep import ADOBE, DEEP, GRAY, read, tiff

tifffile = pytest.importorskip("tifffile")
imagecodecs = pytest.importorskip("imagecodecs")

RECORD = json.dumps({"model": {"id": "a <\"b\"> & 'c'"}, "tau": 0.5})
ALPHA = DEEP[..., 3]


def srgb_of_grays() -> bytes:
    """A gray profile with the curve of sRGB."""
    levels = np.arange(1024) / 1023
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    return imagecodecs.cms_profile(
        "gray", transferfunction=np.rint(light * 65535).astype(np.uint16)
    )


def page(data: bytes):
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return file.pages.first, file.pages.first.asarray()


@pytest.mark.parametrize("format", ["png", "tiff"])
@pytest.mark.parametrize("alpha", [None, ALPHA])
@pytest.mark.parametrize("gray", [True, False])
@pytest.mark.parametrize("profile", [None, ADOBE, GRAY])
def test_16_bits_come_back(tmp_path, format, alpha, gray, profile):
    if (profile is GRAY and not gray) or (profile is ADOBE and gray):
        return
    rgb = np.repeat(DEEP[..., :1], 3, 2) if gray else DEEP[..., :3]
    encoder = Encoder(format)
    path = tmp_path / f"a.{format}"
    path.write_bytes(encoder.encode(output_of(rgb, alpha, gray, profile=profile), RECORD))
    assert read_provenance(path) == json.loads(RECORD)
    found = decode(path)
    np.testing.assert_array_equal(found.image.values, rgb)
    assert (found.image.alpha is None) == (alpha is None)
    if alpha is not None:
        np.testing.assert_array_equal(found.image.alpha, alpha)
    assert (found.gray, found.image.profile) == (gray, profile)
    assert encoder.bits >= 16


@pytest.mark.parametrize("format", ["png", "jpg", "webp", "avif", "tiff"])
def test_every_format_embeds_the_profile(format):
    data = Encoder(format).encode(output_of(COLORS, profile=ADOBE))
    with Image.open(io.BytesIO(data)) as image:
        assert image.info["icc_profile"] == ADOBE
    plain = Encoder(format).encode(output_of(COLORS))
    with Image.open(io.BytesIO(plain)) as image:
        assert "icc_profile" not in image.info


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("gray", [True, False])
def test_a_profile_of_srgb_is_kept_byte_for_byte(dtype, gray):
    """Of a gray scan, if it is one of grays; a result with colors has none of grays."""
    profile = srgb_of_grays() if gray else imagecodecs.cms_profile("srgb")
    source = read(tiff(DEEP[..., 0 if gray else slice(3)].astype(dtype), iccprofile=profile))
    assert source.image.profile is None
    for name in ("png", "tiff"):
        written = Encoder(name).encode(source.output(source.image.values, keeps_gray=True))
        again = decode(io.BytesIO(written))
        assert (again.srgb, again.gray) == (profile, gray)
        colors = Encoder(name).encode(source.output(DEEP[..., :3].astype(dtype)))
        assert decode(io.BytesIO(colors)).srgb == (None if gray else profile)


@pytest.mark.parametrize("profile", [GRAY, srgb_of_grays()])
def test_webp_and_avif_have_no_profile_of_grays_because_they_store_colors(profile):
    source = read(tiff((DEEP[..., 0] >> 8).astype(np.uint8), iccprofile=profile))
    shown = source.image.shown
    data = Encoder("webp").encode(source.output(source.image.values, keeps_gray=True))
    found = decode(io.BytesIO(data))
    assert (found.srgb, found.image.profile, found.unread) == (None, None, "")
    np.testing.assert_array_equal(found.image.values, shown)
    said = "its colors are converted to sRGB" in Encoder("webp").losses(source)
    assert said == (profile is GRAY)


@pytest.mark.parametrize("format", ["jpg", "webp", "avif"])
def test_other_formats_round_and_say_so(format):
    image = source_of(DEEP[..., :3], ALPHA)
    encoder = Encoder(format)
    assert any("rounded" in note for note in encoder.losses(image))
    rounded = (DEEP >> 8).astype(np.uint8)
    same = encoder.encode(output_of(rounded[..., :3], rounded[..., 3]))
    assert encoder.encode(output_of(image.image.values, image.image.alpha)) == same
    assert Encoder("png").losses(image) == []


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd", "packbits"])
def test_a_tiff_of_a_tiff_keeps_what_it_has(tmp_path, compression):
    options = {"compression": compression, "description": b"caf\xe9", "iccprofile": ADOBE}
    options |= {"resolution": (4000, 3000), "resolutionunit": 2, "extrasamples": ["unspecified"]}
    image = read(tiff(DEEP, **options), alpha=False)
    result = image.image.values[::-1]
    path = tmp_path / "x.tif"
    path.write_bytes(Encoder("tiff").encode(image.output(result), RECORD))
    first, values = page(path.read_bytes())
    np.testing.assert_array_equal(values, np.dstack([result, DEEP[..., 3]]))
    original, _ = page(tiff(DEEP, **options))
    assert first.compression == original.compression
    assert first.iccprofile == ADOBE
    found = decode(path, alpha=False)
    assert found.tiff.description == b"caf\xe9"
    assert found.tiff.resolution == ((4000, 1), (3000, 1), 2)
    assert tuple(first.extrasamples) == (0,)
    assert read_provenance(path) == json.loads(RECORD)


def test_the_infrared_of_an_enlarged_image_is_enlarged():
    image = read(tiff(DEEP, extrasamples=["unspecified"]), alpha=False)
    larger = image.output(np.repeat(np.repeat(image.image.values, 2, 0), 2, 1))
    assert larger.image.infrared.shape == larger.image.values.shape[:2]
    assert abs(float(larger.image.infrared.mean()) - float(ALPHA.mean())) < 300


def test_floats_stay_where_the_image_does():
    stored = np.random.default_rng(0).random((9, 8, 3), np.float32)
    image = read(tiff(stored))
    result = image.image.seen.values.copy()
    result[2:5, 3:6] = 1234
    _, values = page(Encoder("tiff").encode(image.output(result)))
    expected = stored.copy()
    expected[2:5, 3:6] = np.float32(1234) / 65535
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, expected)
    back = decode(io.BytesIO(Encoder("png").encode(image.output(result))))
    np.testing.assert_array_equal(back.image.values, result)


@pytest.mark.parametrize("kind", ["unspecified", "assocalpha", "unassalpha", "miniswhite"])
def test_floats_with_a_fourth_channel_and_of_either_polarity_stay_as_they_are(kind):
    values = (DEEP / np.float32(65535)).astype(np.float32)
    values[..., 3] = values[..., 3] / 2 + 0.5
    if kind == "miniswhite":
        data = tiff(np.ascontiguousarray(values[..., 0]), photometric="miniswhite")
    else:
        data = tiff(values, extrasamples=[kind])
    source = read(data, alpha=False)
    result = source.output(source.image.seen.values, keeps_gray=True)
    again = read(Encoder("tiff").encode(result), alpha=False)
    np.testing.assert_array_equal(again.image.values, source.image.values)
    for before, after in (
        (source.image.alpha, again.image.alpha),
        (source.image.infrared, again.image.infrared),
    ):
        assert (before is None) == (after is None)
        assert before is None or np.array_equal(before, after)


@pytest.mark.parametrize(
    "text",
    ['{"shape": [37, 50, 3]}', "<?xml version='1.0'?><OME/>", "ImageJ=1.54f\nimages=1\nmax=9\n"],
)
def test_a_description_of_the_size_is_left_out_of_another_size(text):
    source = read(tiff(DEEP[..., :3], description=text))
    large = np.repeat(np.repeat(source.image.values, 4, 0), 4, 1)
    for result, expected in ((source.image.values, text), (large, "")):
        found = read(Encoder("tiff").encode(source.output(result)))
        assert found.tiff.description.decode() == expected


@pytest.mark.parametrize("metadata", ["none", "basic", "all"])
def test_exif_of_a_deep_file_is_kept_by_choice(metadata):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:01 00:00:00"
    exif.get_ifd(0x8825)[0x01] = "N"
    source = decode(io.BytesIO(encoded(COLORS, "JPEG", exif=exif)))
    output = output_of(DEEP[..., :3], metadata=source.metadata)
    for format in ("tiff", "png"):
        data = Encoder(format, metadata=metadata).encode(output, RECORD)
        found = decode(io.BytesIO(data))
        assert found.image.bits == 16
        tags = found.metadata
        assert tags.get(0, {}).get(0x010F) == (None if metadata == "none" else b"Maker")
        taken = tags.get(0x8769, {}).get(0x9003)
        assert taken == (None if metadata == "none" else b"2020:01:01 00:00:00")
        assert (0x8825 in tags) == (metadata == "all")


@pytest.mark.parametrize("lens", ["50", "50 m", "50 mm"])
def test_directories_of_exif_begin_at_even_places(lens):
    """As TIFF 6.0 requires, behind a text of an odd number of bytes, too."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA434] = lens
    exif.get_ifd(0x8825)[0x01] = "N"
    source = decode(io.BytesIO(encoded(COLORS, "JPEG", exif=exif)))
    output = output_of(DEEP[..., :3], metadata=source.metadata)
    data = Encoder("tiff", metadata="all").encode(output)
    first, _ = page(data)
    assert first.tags.valueof(0x8769)["LensModel"] == lens
    for name in (0x8769, 0x8825):
        place = first.tags[name].offset + 8
        assert int.from_bytes(data[place : place + 4], "little") % 2 == 0


def test_a_smooth_image_compresses_well_and_old_deflate_becomes_new():
    """By differences between pixels, which deflate alone does not see."""
    smooth = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64, 1).repeat(3, 2) * 9
    options = {"compression": 32946, "predictor": True}
    image = read(tiff(smooth, **options))
    data = Encoder("tiff").encode(image.output(image.image.values))
    first, values = page(data)
    np.testing.assert_array_equal(values, smooth)
    assert first.compression == 8
    assert len(data) < smooth.nbytes / 10


def test_jpeg_in_tiff_becomes_deflate_with_a_note():
    data = encoded(COLORS, "TIFF", compression="jpeg")
    image = decode(io.BytesIO(data))
    assert any("Deflate" in note for note in Encoder("tiff").losses(image))
    first, _ = page(Encoder("tiff").encode(image.output(image.image.values)))
    assert first.compression == 8


def test_colors_of_a_gray_profile_are_written_in_srgb():
    image = read(tiff(DEEP[..., 0], iccprofile=GRAY)).in_srgb()
    assert image.image.profile is None
    assert image.converted
    assert image.image.bits == 16
    profile = ImageCms.ImageCmsProfile(io.BytesIO(GRAY))
    srgb = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(profile, srgb, "L", "RGB", 1)
    eight = np.asarray(transform.apply(Image.fromarray((DEEP[..., 0] >> 8).astype(np.uint8))))
    assert np.abs(eight.astype(int) - (image.image.values >> 8)).max() <= 4


def test_files_of_8_bits_are_read_alike_with_and_without_a_profile_kept(tmp_path):
    path = tmp_path / "x.png"
    path.write_bytes(encoded(COLORS, icc_profile=ADOBE))
    kept = decode(path)
    np.testing.assert_array_equal(kept.image.values, COLORS)
    np.testing.assert_array_equal(kept.image.shown, read_image(path))


def test_a_comment_has_the_type_that_exif_requires():
    exif = Image.Exif()
    exif[0x010E] = "a scan"
    source = decode(io.BytesIO(encoded(COLORS, "JPEG", exif=exif)))
    output = output_of(DEEP[..., :3], metadata=source.metadata)
    data = Encoder("tiff", metadata="basic").encode(output)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        place = file.pages.first.tags[0x8769].offset + 8
    (pointer,) = np.frombuffer(data, "<u4", 1, place)
    directory = TiffImagePlugin.ImageFileDirectory_v2(data[:8], group=0x8769)
    stream = io.BytesIO(data)
    stream.seek(int(pointer))
    directory.load(stream)
    assert directory[0x9286] == b"ASCII\0\0\0a scan"
    assert directory.tagtype[0x9286] == TiffTags.UNDEFINED
