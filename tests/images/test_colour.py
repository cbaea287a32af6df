"""Colour spaces and profiles to sRGB."""

from __future__ import annotations

import numpy as np
import pytest
from pictures import COLOURS, decoded, encoded, linear_profile
from PIL import Image, ImageCms

from caflow_cli.images.colour import to_srgb


def test_cmyk_becomes_rgb():
    cmyk = np.zeros((4, 4, 4), np.uint8)
    cmyk[:, :, 1:3] = 255  # magenta and yellow
    red = decoded(encoded(Image.fromarray(cmyk, "CMYK"), "TIFF"))
    np.testing.assert_array_equal(red, np.full((4, 4, 3), (255, 0, 0), np.uint8))


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


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "LAB"])
def test_every_colour_space_becomes_rgb(mode):
    """A grey that all of them have."""
    values = {"L": 128, "RGB": (128,) * 3, "CMYK": (0, 0, 0, 127), "LAB": (137, 128, 128)}
    picture = to_srgb(Image.new(mode, (2, 2), values[mode]), None)
    assert picture.mode == "RGB"
    assert np.abs(np.asarray(picture).astype(int) - 128).max() <= 2
