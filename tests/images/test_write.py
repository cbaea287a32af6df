"""The formats that are written, and what a file says about itself."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from image_files import COLORS, output_of
from PIL import Image

from caflow_cli.errors import CaflowError
from caflow_cli.images import (
    FORMATS,
    Encoder,
    decode,
    encode_png,
    format_of,
    read_image,
    read_provenance,
    write_png,
)

ALPHA = np.random.default_rng(7).integers(0, 255, COLORS.shape[:2], dtype=np.uint8)
ALPHA[0] = 0  # colors under it must come back too
RECORD = {"model": {"id": "τ", "sha256": "ab"}, "tau": 0.5}
TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
TERM = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
# The bytes that introduce XMP, by its specification, part 3.
XMP_PLACES = {
    "png": b"iTXtXML:com.adobe.xmp\0\0\0\0\0<?xpacket",
    "jpg": b"http://ns.adobe.com/xap/1.0/\0<?xpacket",
    "webp": b"XMP ",
    "tiff": b'<?xpacket begin="\xef\xbb\xbf"',
    "avif": b"application/rdf+xml",
}


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 1), (3, 5, 3), (3, 5, 4)])
def test_png_round_trip(tmp_path, shape):
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    view = image[::-1, 1::2]
    for given in (image, view):
        with Image.open(io.BytesIO(encode_png(given))) as found:
            assert found.format == "PNG"
            stored = given[:, :, 0] if shape == (3, 5, 1) else given
            np.testing.assert_array_equal(np.asarray(found), stored)
    write_png(tmp_path / "a.png", image)
    assert (tmp_path / "a.png").read_bytes() == encode_png(image)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("alpha", [None, ALPHA])
def test_every_format_comes_back_with_its_provenance(tmp_path, format, alpha):
    encoder = Encoder(format)
    path = tmp_path / f"a.{format}"
    assert format_of(path) == format
    path.write_bytes(encoder.encode(output_of(COLORS, alpha), json.dumps(RECORD)))
    assert read_provenance(path) == RECORD
    found = decode(path)
    if encoder.lossless:
        np.testing.assert_array_equal(found.image.values, COLORS)
        np.testing.assert_array_equal(found.image.alpha, alpha)
    else:
        assert (found.image.alpha is None) is (alpha is None or not encoder.has_alpha)
        assert found.image.values.shape == COLORS.shape
    bare = tmp_path / f"bare.{format}"
    bare.write_bytes(
        Encoder(format, provenance=False).encode(output_of(COLORS, alpha), json.dumps(RECORD))
    )
    assert read_provenance(bare) is None
    assert b"caflow" not in bare.read_bytes()
    np.testing.assert_array_equal(read_image(bare), found.image.values)
    with Image.open(path) as stored, Image.open(bare) as other:
        assert "icc_profile" not in stored.info
        packet = ET.fromstring(stored.info["xmp"])
        assert [e.get(TYPE) for e in packet.iter() if e.get(TYPE)] == [TERM]
        assert "xmp" not in other.info
        if format == "tiff":
            assert stored.tag_v2.tagtype[700] == 1  # bytes
    assert XMP_PLACES[format] in path.read_bytes()
    assert b"xmpmeta" not in bare.read_bytes()
    assert b"xmpmeta" not in encoder.encode(output_of(COLORS))


def test_jpeg_has_white_under_transparent_pixels():
    colors = np.full((16, 16, 3), (10, 20, 30), np.uint8)
    for a, expected in ((0, [255] * 3), (255, [10, 20, 30]), (51, [206, 208, 210])):
        data = Encoder("jpg").encode(output_of(colors, np.full((16, 16), a, np.uint8)))
        np.testing.assert_allclose(read_image(io.BytesIO(data))[8, 8], expected, atol=3)


def test_blends_with_white_are_rounded():
    """In gray blocks of 8×8, which JPEG of quality 100 stores exactly."""
    alpha = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(8, 0).repeat(8, 1)
    for gray in (0, 30, 201):
        image = np.full((128, 128, 3), gray, np.uint8)
        found = read_image(io.BytesIO(Encoder("jpg", 100).encode(output_of(image, alpha))))
        expected = np.rint((alpha / 255.0) * gray + (1 - alpha / 255.0) * 255)
        np.testing.assert_array_equal(found, np.repeat(expected[..., None], 3, 2))


@pytest.mark.parametrize(
    ("format", "quality", "message"),
    [
        ("gif", None, "'gif'"),
        ("png", 90, "lossless"),
        ("jpg", 0, "quality 0"),
        ("webp", 101, "101"),
    ],
)
def test_encoders_that_cannot_be(format, quality, message):
    with pytest.raises(CaflowError, match=message) as caught:
        Encoder(format, quality)
    assert caught.value.exit_code == 2


def test_images_too_large_for_their_format():
    with pytest.raises(CaflowError, match="16384x1 is too large for webp"):
        Encoder("webp").encode(output_of(np.zeros((1, 16384, 3), np.uint8)))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("alpha", [None, ALPHA])
def test_an_image_without_color_may_be_stored_in_one_channel(format, alpha):
    encoder = Encoder(format)
    flat = np.repeat(COLORS[..., :1], 3, 2)
    plain, gray = (encoder.encode(output_of(flat, alpha, gray)) for gray in (False, True))
    modes = {"jpg": "L", "webp": "RGB", "avif": "RGB"}
    wanted = modes.get(format, "L") + ("A" if alpha is not None and encoder.has_alpha else "")
    with Image.open(io.BytesIO(gray)) as stored:
        assert stored.mode == wanted
    found, other = (decode(io.BytesIO(data)) for data in (gray, plain))
    np.testing.assert_allclose(
        found.image.values.astype(int), other.image.values, atol=0 if encoder.lossless else 9
    )
    if encoder.has_alpha:
        np.testing.assert_array_equal(found.image.alpha, other.image.alpha)
    assert found.gray == (format not in ("webp", "avif"))
    almost = flat.copy()
    almost[-1, -1, 2] ^= 1
    assert encoder.encode(output_of(almost, alpha, True)) == encoder.encode(
        output_of(almost, alpha)
    )


def test_a_jpeg_above_64_megapixels_has_the_tables_of_the_standard():
    """Others would take all coefficients, 6 bytes a pixel, in memory."""
    tables = []
    for height in (8, 8001):
        image = np.broadcast_to(np.uint8(128), (height, 8000, 3))
        data = Encoder("jpg").encode(output_of(image))
        tables.append(sum(data.count(b"\xff\xc4" + bytes([0, side])) for side in (31, 181)))
    assert tables == [0, 4]
