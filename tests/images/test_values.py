"""An image as one value: all that it has changes together."""

from __future__ import annotations

import numpy as np
import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.images import Input, Raster, resize

from ..image_files import linear_profile

imagecodecs = pytest.importorskip("imagecodecs")

ADOBE = imagecodecs.cms_profile("adobergb")
GRAY = imagecodecs.cms_profile("gray", gamma=1.0)
RNG = np.random.default_rng(3)


def floats(height: int = 6, width: int = 7) -> Raster:
    """Floats in linear light, with alpha and infrared."""
    values, alpha, infrared = (
        RNG.random((height, width, *rest), np.float32) for rest in ((3,), (), ())
    )
    return Raster(values, linear_profile(), alpha, infrared)


@pytest.mark.parametrize("bits", [8, 16])
def test_everything_is_rounded_together(bits):
    image = floats()
    found = image.rounded(bits)
    levels = {8: 256, 16: 65536}[bits]
    for plane, before in (
        (found.values, image.values),
        (found.alpha, image.alpha),
        (found.infrared, image.infrared),
    ):
        assert 8 * plane.dtype.itemsize == found.bits == bits
        assert np.abs(plane / (levels - 1) - before).max() <= 1 / (levels - 1)
    assert found.profile == image.profile
    assert found.rounded(16) is found


def test_rounding_to_8_bits_goes_by_16():
    image = floats()
    np.testing.assert_array_equal(image.rounded(8).values, image.rounded(16).values >> 8)


def test_colors_are_converted_and_the_rest_stays():
    image = floats()
    found = image.converted(None)
    srgb = np.where(
        image.values <= 0.0031308, 12.92 * image.values, 1.055 * image.values ** (1 / 2.4) - 0.055
    )
    np.testing.assert_allclose(found.values, srgb, atol=2e-4)
    assert (found.profile, found.alpha, found.infrared) == (None, image.alpha, image.infrared)
    np.testing.assert_allclose(found.converted(image.profile).values, image.values, atol=1e-5)
    assert found.converted(None) is found


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_grays_stay_gray_in_any_profile(dtype):
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None, :, None].repeat(3, 2)
    scale = 1 if dtype == np.float32 else np.iinfo(dtype).max
    found = Raster((ramp * scale).astype(dtype), GRAY).converted(None).values
    assert found.dtype == dtype
    assert not np.ptp(found, axis=-1).any()


def test_models_see_values_of_displays_as_they_are_and_others_in_srgb():
    values = RNG.integers(0, 65536, (4, 5, 3), np.uint16)
    kept = Raster(values, ADOBE)
    assert kept.seen is kept
    linear = Raster(values, linear_profile())
    assert (linear.seen.bits, linear.seen.profile) == (16, None)
    assert floats().seen.bits == 16


def test_what_the_eye_sees_is_computed_once():
    image = floats()
    assert image.shown is image.shown
    assert image.seen is image.seen
    assert image.shown.dtype == np.uint8


def test_a_result_of_floats_is_in_their_color_space_and_keeps_their_values():
    image = floats()
    result = image.seen.values.copy()
    result[2:4, 3:5] = 30000
    made = Input(image).output(result).image
    changed = (result != image.seen.values).any(-1)
    np.testing.assert_array_equal(made.values[~changed], image.values[~changed])
    assert made.profile == image.profile
    np.testing.assert_array_equal(made.seen.values, result)
    assert (made.alpha is image.alpha, made.infrared is image.infrared) == (True, True)


def test_transparent_floats_are_filled_by_visible_ones():
    values = np.full((8, 8, 3), 0.25, np.float32)
    values[2:4, 2:4] = 0.9
    alpha = np.full((8, 8), 0.5, np.float32)
    alpha[2:4, 2:4] = 0
    found = Input(Raster(values, None, alpha)).opaque().image
    assert found.alpha is None
    np.testing.assert_allclose(found.values, 0.25, atol=1e-6)


def test_a_profile_that_cannot_be_applied_is_an_error_of_the_image():
    broken = imagecodecs.cms_profile("rgb", gamma=1.0)  # of no primaries
    with pytest.raises(CaflowError, match="color profile"):
        _ = Raster(np.zeros((2, 2, 3), np.uint16), broken).shown


@pytest.mark.parametrize("size", [(60, 12), (6, 80), (44, 44)])
def test_rows_are_resized_before_columns(size):
    """Whichever pass makes less work: 8 bits are rounded after each."""
    image = np.random.default_rng(1).integers(0, 256, (20, 24, 3), np.uint8)
    rows = resize(image, 20, size[1])
    np.testing.assert_array_equal(resize(image, *size), resize(rows, *size))
