from __future__ import annotations

import io
import json

import numpy as np
import pytest
from pictures import COLOURS
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


def test_text_chunks():
    text = {"caflow": '{"tau": 0.5}', "other": "τ = ½ 日本"}
    data = encode_png(COLOURS, text)
    assert b"tEXtcaflow\0" in data
    assert b"iTXtother\0" in data
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.text == text


ALPHA = np.random.default_rng(7).integers(0, 255, COLOURS.shape[:2], dtype=np.uint8)
ALPHA[0] = 0  # colours under it must come back too
RECORD = {"model": {"id": "τ", "sha256": "ab"}, "tau": 0.5}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("alpha", [None, ALPHA])
def test_every_format_comes_back_with_its_provenance(tmp_path, format, alpha):
    encoder = Encoder(format)
    path = tmp_path / f"a{encoder.suffix}"
    assert format_of(path) == format
    path.write_bytes(encoder.encode(COLOURS, alpha, json.dumps(RECORD)))
    assert read_provenance(path) == RECORD
    picture = decode(path)
    if encoder.lossless:
        np.testing.assert_array_equal(picture.rgb, COLOURS)
        np.testing.assert_array_equal(picture.alpha, alpha)
    else:
        assert picture.alpha is None
        assert picture.rgb.shape == COLOURS.shape
    with Image.open(path) as stored:
        assert "icc_profile" not in stored.info
    bare = Encoder(format, provenance=False).encode(COLOURS, alpha, json.dumps(RECORD))
    path.write_bytes(bare)
    assert read_provenance(path) is None
    assert b"caflow" not in bare


def test_what_is_lossless():
    lossless = {(f, q) for f in FORMATS for q in (None, 80) if f in ("jpg", "webp") or not q}
    lossless = {(f, q) for f, q in lossless if Encoder(f, q).lossless}
    assert lossless == {("png", None), ("tiff", None), ("webp", None)}
    flat = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    for encoder in (Encoder("jpg"), Encoder("webp", 95)):
        image = read_image(io.BytesIO(encoder.encode(flat)))
        assert np.abs(image.astype(int) - flat).max() <= 3
    small, large = (Encoder("jpg", q).encode(COLOURS) for q in (10, 100))
    assert len(small) < len(large)


def test_jpeg_lays_the_picture_on_white():
    black = np.zeros((16, 32, 3), np.uint8)
    alpha = np.repeat(np.array([0, 255], np.uint8), 16)[None].repeat(16, 0)
    image = read_image(io.BytesIO(Encoder("jpg").encode(black, alpha)))
    assert image[:, :8].min() > 250
    assert image[:, 24:].max() < 5


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


def test_pictures_too_large_for_their_format():
    with pytest.raises(CaflowError, match="16384x1 is more than webp") as caught:
        Encoder("webp").encode(np.zeros((1, 16384, 3), np.uint8))
    assert caught.value.hint == "--format png"


def test_write_png(tmp_path):
    write_png(tmp_path / "a.png", COLOURS, {"caflow": "{}"})
    assert (tmp_path / "a.png").read_bytes() == encode_png(COLOURS, {"caflow": "{}"})
