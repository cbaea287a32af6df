"""Values of 16 bits to 8."""

from __future__ import annotations

import io

import numpy as np
import pytest
from pictures import decoded, encoded, png_of_16_bits, refusal, tiff_of_16_bits
from PIL import Image

from caflow_cli.images import decode
from caflow_cli.images.depth import round_to_8_bits


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


def test_two_bytes_are_rounded_to_the_nearest_of_255_steps():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    high, low = (Image.fromarray(part.astype(np.uint8)) for part in (values >> 8, values & 255))
    expected = np.rint(values / 257)
    np.testing.assert_array_equal(np.asarray(round_to_8_bits(high, low)), expected)
