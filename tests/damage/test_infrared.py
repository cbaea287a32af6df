"""Dust is found by infrared, on simulated scans: silver film, other sizes and shifts."""

import numpy as np
import pytest
from film_scans import STRONG, WEAK, scanned
from PIL import Image
from scipy import ndimage

import caflow_cli as caflow
from caflow_cli.assets import example_path
from caflow_cli.damage import infrared_mask


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def photograph() -> np.ndarray:
    return np.asarray(Image.open(example_path("cat_192")).convert("RGB").resize((400, 320)))


def shares(mask: np.ndarray, dust: np.ndarray) -> tuple[float, float]:
    """Precision and recall, per pixel; the mask is grown by two pixels."""
    near = ndimage.binary_dilation(dust > 0.05, iterations=3)
    return near[mask > 0].mean(), (mask[dust > 0.5] > 0).mean()


def of_16_bits(values: np.ndarray) -> np.ndarray:
    return np.rint(65535 * values).astype(np.uint16)


@pytest.mark.parametrize("scanner", [WEAK, STRONG])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_dust_is_found_on_both_scanners(scanner, dtype, rng):
    scan = scanned(photograph(), scanner, rng, dtype=dtype)
    precision, recall = shares(infrared_mask(scan.rgb, scan.infrared), scan.dust)
    assert precision > 0.95
    assert recall > 0.8


def test_what_leaks_from_the_dyes_is_removed(rng):
    scan = scanned(photograph(), STRONG, rng, slope=0.12)
    precision, recall = shares(infrared_mask(scan.rgb, scan.infrared), scan.dust)
    assert precision > 0.95
    assert recall > 0.8


def test_all_that_leaks_is_removed_and_no_more():
    """A dark figure and a bright one: what is left of either, or too much, would be marked."""
    red = np.random.default_rng(0).uniform(0.4, 0.6, (64, 64)).repeat(4, 0).repeat(4, 1)
    red[60:90, 100:120] = 0.04
    red[160:190, 100:120] = 0.98
    infrared = 0.7 * red**0.2
    infrared[100:108, 200:204] *= 0.9
    mask = infrared_mask(of_16_bits(red), of_16_bits(infrared))
    assert mask[100:108, 200:204].all()
    mask[92:116, 192:212] = 0
    assert not mask.any()


def test_a_step_of_8_bits_is_no_dust(rng):
    """Without noise, the deviation of clean film would be 0."""
    infrared = np.full((256, 256), 250, np.uint8)
    infrared[100:104, 100:110] = 249
    infrared[20:25, 30:40] = 200
    mask = infrared_mask(rng.integers(60, 200, (256, 256), dtype=np.uint8), infrared)
    assert mask[20:25, 30:40].all()
    assert not mask[60:].any()


def test_a_lower_threshold_marks_more_and_the_red_channel_suffices(rng):
    scan = scanned(photograph(), STRONG, rng)
    few, some, many = (infrared_mask(scan.rgb, scan.infrared, k) > 0 for k in (9, 4, 2))
    assert few.sum() < some.sum() < many.sum()
    assert not (few & ~some).any()
    assert np.array_equal(infrared_mask(scan.rgb[..., 0], scan.infrared, 4) > 0, some)


@pytest.mark.parametrize("shift", [(0, 0), (3, -5), (-8, 8)])
def test_a_clear_shift_of_up_to_8_pixels_is_undone(shift, rng):
    scan = scanned(photograph(), STRONG, rng, shift=shift)
    precision, recall = shares(infrared_mask(scan.rgb, scan.infrared), scan.dust)
    assert precision > 0.95
    assert recall > 0.8


@pytest.mark.parametrize("top", [0, 260, 600, 940, 1200])
def test_a_shift_is_found_wherever_the_dust_of_a_long_strip_lies(top, rng):
    """The strip is five tiles high, without a common row."""
    red = np.full((1280, 256), 0.5)
    infrared = np.full(red.shape, 0.7)
    dust = np.zeros(red.shape, bool)
    for row, column in rng.integers((8, 8), (64, 240), (25, 2)):
        dust[top + row : top + row + 5, column : column + 4] = True
    red[dust] *= 0.4
    infrared[dust] *= 0.6
    shifted = np.roll(infrared, (3, -5), (0, 1))
    masks = [infrared_mask(of_16_bits(red), of_16_bits(light)) for light in (infrared, shifted)]
    assert (masks[0][dust] > 0).all()
    np.testing.assert_array_equal(masks[1], masks[0])


def test_infrared_is_not_moved_further_or_by_chance(rng):
    scan = scanned(photograph(), STRONG, rng, slope=0, shift=(14, 0))
    mask = infrared_mask(scan.rgb, scan.infrared)
    assert shares(mask, np.roll(scan.dust, 14, 0))[1] > 0.8
    other = scanned(photograph()[::-1], STRONG, rng, slope=0)
    mask = infrared_mask(scan.rgb, other.infrared)
    assert shares(mask, other.dust)[1] > 0.8


def test_infrared_is_not_moved_to_a_near_peak_of_noise(rng):
    """Of 40 pairs without common detail, three have their highest peak within 8 pixels."""
    for _ in range(40):
        red = rng.uniform(0.4, 0.6, (96, 96))
        infrared = 0.7 + 0.002 * rng.standard_normal((96, 96))
        infrared[30:36, 30:36] *= 0.8
        mask = infrared_mask(of_16_bits(red), of_16_bits(infrared))
        assert mask[29:37, 29:37].all()
        mask[26:40, 26:40] = 0
        assert not mask.any()


def test_infrared_of_another_photograph_is_refused(rng):
    """It has an image, which does not depend on red."""
    scan = scanned(photograph(), WEAK, rng)
    other = scanned(photograph()[::-1], WEAK, rng, slope=0.8)
    with pytest.raises(caflow.CaflowError, match="infrared shows the image"):
        infrared_mask(scan.rgb, other.infrared)


@pytest.mark.parametrize("spots", [0, 40, 400])
@pytest.mark.parametrize("slope", [0.35, 0.8])
def test_silver_film_and_kodachrome_are_refused_whatever_is_marked(slope, spots, rng):
    scan = scanned(photograph(), WEAK, rng, slope=slope, spots=spots)
    with pytest.raises(caflow.CaflowError, match="infrared shows the image") as error:
        infrared_mask(scan.rgb, scan.infrared)
    assert error.value.exit_code == 1
    assert "--mask auto" in error.value.hint


@pytest.mark.parametrize("spots", [0, 400])
def test_color_film_is_not_refused_whatever_is_marked(spots, rng):
    scan = scanned(photograph(), STRONG, rng, slope=0.12, spots=spots)
    share = (infrared_mask(scan.rgb, scan.infrared) > 0).mean()
    assert share < 0.004 if spots == 0 else share > 0.05


def test_a_frame_without_an_image_has_no_slope(rng):
    """Falloff of light in infrared alone is no image."""
    scan = scanned(np.full((256, 256, 3), 90, np.uint8), STRONG, rng, slope=0.8)
    assert shares(infrared_mask(scan.rgb, scan.infrared), scan.dust)[1] > 0.8


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (17, 33)])
def test_any_size(shape):
    flat = np.full(shape, 30000, np.uint16)
    assert not infrared_mask(flat, flat).any()


def test_another_size_and_a_wrong_threshold_are_refused():
    flat = np.full((20, 30), 9000, np.uint16)
    with pytest.raises(caflow.CaflowError, match="infrared is 29x20, the image 30x20"):
        infrared_mask(flat, flat[:, :-1])
    for k in (0, 101, float("nan")):
        with pytest.raises(caflow.CaflowError, match="k is") as error:
            infrared_mask(flat, flat, k)
        assert error.value.exit_code == 2
