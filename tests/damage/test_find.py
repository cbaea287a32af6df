"""Damage is found in images of any size, and nothing where there is none."""

import numpy as np
import pytest
from cracked import cracked, faded
from scipy import ndimage

import caflow_cli as caflow
from caflow_cli.damage import snapped
from caflow_cli.damage.find import confidence, marks


def test_cracks_are_found_and_little_else():
    image, damage = cracked()
    mask = caflow.find_damage(image)
    assert mask.shape == (192, 192)
    assert set(np.unique(mask)) == {0, 255}
    assert (mask[damage] == 255).mean() > 0.6
    assert (mask[~damage] == 255).mean() < 0.08
    assert (caflow.find_damage(image, 0.2) >= mask).all()


@pytest.mark.parametrize("level", [15, 240])
def test_thick_fibers_are_found(level):
    y, x = np.indices((192, 192))
    fibers = np.abs(y - 70 - 25 * np.sin(x / 30)) < 5
    fibers |= np.abs(np.hypot(y - 125, x - 120) - 35) < 3
    opacity = ndimage.gaussian_filter(fibers.astype(float), 0.6)[..., None]
    image = np.rint(faded() * (1 - opacity) + level * opacity).astype(np.uint8)
    mask = caflow.find_damage(image) > 0
    assert mask[fibers].mean() > 0.8
    assert mask[~ndimage.binary_dilation(fibers, iterations=3)].mean() < 0.03


def test_regions_are_grown_by_a_pixel():
    image, _ = cracked()
    sure = confidence(image) > 0.5
    mask = caflow.find_damage(image) > 0
    for shift in ((0, 0), (1, 1), (-1, 0)):
        assert mask[np.roll(sure, shift, (0, 1))].mean() > 0.99  # all but what leaves the image


def test_nothing_is_marked_unless_a_pixel_has_9_times_the_odds_of_the_threshold():
    image, _ = cracked()
    highest = float(confidence(image).max())
    odds = highest / (1 - highest)
    assert not caflow.find_damage(image, 1 / (1 + 8 / odds)).any()
    assert caflow.find_damage(image, 1 / (1 + 10 / odds)).any()


def grown(seeds, inside, structure):
    """`seeds`, and what is connected to them inside."""
    while True:
        more = ndimage.binary_dilation(seeds, structure) & inside | seeds
        if (more == seeds).all():
            return seeds
        seeds = more


def widest(mask):
    """The side of the largest square, of an odd number of pixels, that fits into the mask."""
    side = 1
    while ndimage.binary_erosion(mask, np.ones((side, side))).any():
        side += 2
    return side - 2


@pytest.mark.parametrize("quantile", [0.997, 0.999, 0.9995, 0.9999])
def test_regions_count_that_gaps_of_8_pixels_link_to_a_confident_pixel(quantile):
    image = faded()
    for k in range(20, 160):  # diagonal hairs, light and dark
        image[k, k : k + 2] = 250
        image[k, 180 - k : 182 - k] = 20
    levels = confidence(image)
    threshold = float(np.quantile(levels, quantile)) / 2
    inside = levels > 0.7 * threshold
    linked = ndimage.binary_dilation(inside, np.ones((9, 9)))
    region = grown(levels > threshold, linked, np.ones((3, 3))) & inside
    assert widest(region) < 7  # nothing is too wide to be marked
    expected = ndimage.binary_dilation(region, np.ones((3, 3)))
    np.testing.assert_array_equal(caflow.find_damage(image, threshold) > 0, expected)


@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_a_crack_does_not_grow_into_a_wider_region(threshold):
    y, x = np.indices((96, 128))
    lobe = np.hypot(y - 48, x - 64) < 16
    crack = np.abs(y - 36) < 2
    levels = np.select([crack, lobe], [0.99, 0.85 * threshold]).astype(np.float32)
    mask = marks(levels, threshold) > 0
    assert mask[crack].all()
    assert mask[lobe & (np.abs(y - 36) < 5)].all()  # its rim
    assert not mask[lobe & (np.abs(y - 36) > 7)].any()


def test_a_tear_goes_on_into_what_is_narrower():
    levels = np.zeros((96, 128), np.float32)
    levels[30:50, 10:60] = 0.99
    levels[35:43, 60:120] = 0.42
    mask = marks(levels, 0.5) > 0
    assert mask[35:43, 60:120].all()


def test_a_faint_crack_goes_on_from_a_certain_one():
    levels = np.zeros((64, 128), np.float32)
    levels[30:33, 10:60] = 0.99
    levels[30:33, 66:120] = 0.42
    mask = marks(levels, 0.5) > 0
    assert mask[30:33, 66:120].all()
    assert not mask[:, 62:64].any()


def test_an_image_without_damage_is_left_alone():
    assert (caflow.find_damage(faded()) > 0).mean() < 0.003


def test_gray_is_read_as_three_equal_channels():
    gray = cracked()[0][..., 1]
    color = np.repeat(gray[..., None], 3, 2)
    assert np.array_equal(caflow.find_damage(gray), caflow.find_damage(color))


def test_a_fourth_band_is_transparency_if_it_is_said():
    image = cracked()[0]
    banded = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    with pytest.raises(caflow.CaflowError, match="whose last channel may be anything"):
        caflow.find_damage(banded)
    assert np.array_equal(caflow.find_damage(banded, alpha=True), caflow.find_damage(image))


@pytest.mark.parametrize("shape", [(1, 1), (5, 300), (17, 33)])
def test_any_size(shape):
    mask = caflow.find_damage(np.full((*shape, 3), 90, np.uint8))
    assert mask.shape == shape
    assert not mask.any()


def test_windows_have_no_seams():
    image = np.tile(cracked()[0], (2, 3, 1))[:200, 126:]
    steps = []
    found = confidence(image, 352, lambda done, total: steps.append((done, total)))
    np.testing.assert_allclose(found, confidence(image), rtol=0, atol=1e-4)
    assert steps == [(k, 5) for k in range(1, 6)]


@pytest.mark.parametrize("threshold", [0, 1, float("nan")])
def test_a_threshold_is_between_0_and_1(threshold):
    with pytest.raises(caflow.CaflowError, match="the threshold"):
        caflow.find_damage(faded(), threshold)


def test_a_rough_stroke_becomes_the_damage_below_it():
    """Also up to half the stroke's width beside it; each stroke is on its own."""
    levels = np.zeros((60, 90), np.float32)
    levels[10:14, :] = 0.06  # a crack
    levels[45, 45] = 0.9
    paint = np.zeros((60, 90), np.uint8)
    paint[15:21, 5:40] = 128  # beside it, 6 wide
    paint[8:12, 60:80] = 255  # over its upper half, 4 wide
    paint[40:50, 40:50] = 255  # where one pixel of 100 is found
    paint[30, 30] = 127  # not painted
    wanted = np.zeros((60, 90), np.uint8)
    wanted[12:14, 2:43] = 255
    wanted[10:14, 58:82] = 255
    wanted[40:50, 40:50] = 255
    result = snapped(paint, levels)
    core = np.s_[:, 5:40], np.s_[:, 60:80], np.s_[20:]
    for place in core:
        np.testing.assert_array_equal(result[place], wanted[place])
    assert not (result > wanted).any()
    np.testing.assert_array_equal(snapped(paint, np.zeros_like(levels)), (paint > 127) * 255)
    assert not snapped(np.zeros_like(paint), levels).any()
