"""Grain in filled holes: as strong as around them, in the image's own colors, and only there."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from caflow_cli.restoration.grain import Grain


def film(strength, shape=(192, 192), seed=0, gray=False):
    """A smooth image, the same with grain of that deviation, and a hole with spots and a hair."""
    height, width = shape
    y, x = np.mgrid[:height, :width]
    smooth = 110 + 30 * np.sin(x / 70)[..., None] + 20 * np.cos(y / 90)[..., None] * [1, 0.6, 0.2]
    generator = np.random.default_rng(seed)
    fields = gaussian_filter(generator.standard_normal((4, height, width)), (0, 0.8, 0.8))
    fields /= fields.std()
    mixed = np.sqrt(0.56) * fields[:1] + np.sqrt(0.44) * fields[1:]
    grain = strength * mixed.transpose(1, 2, 0)
    if gray:
        smooth = np.repeat(smooth[..., :1], 3, axis=2)
        grain = np.repeat(grain[..., :1], 3, axis=2)
    hole = np.zeros(shape, bool)
    for row, column in ((40, 50), (100, 120), (150, 60)):
        hole |= (y - row) ** 2 + (x - column) ** 2 < 81
    hole |= abs(y - x / 2 - 20) < 2
    return rounded(smooth), rounded(smooth + grain), hole


def rounded(image):
    return np.rint(image).clip(0, 255).astype(np.uint8)


def filled(smooth, grainy, hole):
    return np.where(hole[..., None], smooth, grainy)


def fine(image):
    return image - gaussian_filter(image.astype(float), (1.2, 1.2, 0))


@pytest.mark.parametrize("strength", [5, 9, 14])
def test_the_fill_gets_the_grain_around_it(strength):
    smooth, grainy, hole = film(strength)
    grain = Grain(grainy, hole, seed=3)
    assert grain.deviation == pytest.approx(strength, rel=0.15)
    assert grain.spots == 3  # the hair crosses one
    fill = filled(smooth, grainy, hole)
    result = grain.apply(fill)
    np.testing.assert_array_equal(result[~hole], fill[~hole])
    inside = fine(result)[hole]
    outside = fine(grainy)[~hole]
    assert inside.std() / outside.std() == pytest.approx(1, abs=0.15)
    for a, b in ((0, 1), (0, 2)):
        correlation = np.corrcoef(inside.T)[a, b] - np.corrcoef(outside.T)[a, b]
        assert abs(correlation) < 0.15
    assert result[hole].mean() == pytest.approx(fill[hole].mean(), abs=1)


def test_a_seed_repeats_its_grain_and_another_does_not():
    smooth, grainy, hole = film(9)
    fill = filled(smooth, grainy, hole)
    results = [Grain(grainy, hole, seed).apply(fill) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0] != results[2])[hole].mean() > 0.8


def test_a_large_hole_has_neither_a_pattern_nor_seams():
    """Grain that repeats, or differs slowly from place to place, is seen."""
    smooth, grainy, hole = film(9)
    hole[:] = False
    hole[64:128, 32:160] = True
    fill = filled(smooth, grainy, hole)
    added = (Grain(grainy, hole, seed=0).apply(fill).astype(float) - fill)[64:128, 32:160]
    cells = [part.ravel() for row in np.split(added, 2) for part in np.split(row, 4, axis=1)]
    repeats = np.corrcoef(cells)[~np.eye(8, dtype=bool)]
    assert np.abs(repeats).max() < 0.2
    assert gaussian_filter(added, (4, 4, 0)).std() < 0.12 * added.std()


def test_beside_a_narrow_image_as_well():
    """Of 28 rows, whose blocks are smaller; holes that touch at a corner are one spot."""
    smooth, grainy, hole = film(9, shape=(28, 300))
    hole[:] = False
    for left in range(20, 280, 40):
        hole[9:13, left : left + 3] = True
        hole[13:16, left + 3 : left + 6] = True
    grain = Grain(grainy, hole, seed=0)
    assert grain.spots == 7
    result = grain.apply(filled(smooth, grainy, hole))
    assert fine(result)[hole].std() / fine(grainy)[~hole].std() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("strength", [0, 1, 2])
def test_an_image_without_grain_is_left_as_it_is(strength):
    smooth, grainy, hole = film(strength)
    grain = Grain(grainy, hole, seed=0)
    assert grain.deviation is None
    assert grain.spots == 0
    fill = filled(smooth, grainy, hole)
    np.testing.assert_array_equal(grain.apply(fill), fill)


def test_texture_and_the_noise_of_sensors_are_no_grain():
    smooth, _, hole = film(0)
    _, x = np.mgrid[:192, :192]
    stripes = smooth + 12 * np.sin(1.6 * x)[..., None]  # in one direction
    white = smooth + 6 * np.random.default_rng(0).standard_normal((192, 192, 3))
    gravel = 10 * gaussian_filter(np.random.default_rng(1).standard_normal((192, 192)), 0.8) / 0.3
    fields = gaussian_filter(np.random.default_rng(2).standard_normal((3, 192, 192)), (0, 0.5, 1))
    weave = smooth + 12 * fields.transpose(1, 2, 0) / fields.std()  # wider than it is high
    for image in (stripes, white, weave, smooth + gravel[..., None]):  # gravel has no color
        assert Grain(rounded(image), hole, seed=0).deviation is None


def test_a_fill_that_has_grain_or_texture_gets_none():
    _, grainy, hole = film(9)
    grain = Grain(grainy, hole, seed=0)
    rough = filled(rounded(1.6 * grainy - 60.0), grainy, hole)
    assert (grain.apply(rough) != rough)[hole].mean() < 0.05


def test_blocks_of_another_tone_are_not_used():
    _, grainy, hole = film(9)
    y, x = np.mgrid[:192, :192]
    beside = (y - 100) ** 2 + (x - 120) ** 2 < 14**2  # a dark object, smaller than any block
    grainy[beside] = rounded(grainy[beside] / 6.0)
    hole = (y - 100) ** 2 + (x - 120) ** 2 < 36
    grain = Grain(grainy, hole, seed=0)
    assert grain.deviation is not None
    assert grain.spots == 0


def test_gray_stays_gray_and_16_bits_agree_with_8():
    smooth, grainy, hole = film(9, gray=True)
    fill = filled(smooth, grainy, hole)
    result = Grain(grainy, hole, seed=0).apply(fill)
    assert (result != fill)[hole].mean() > 0.8
    assert not np.ptp(result, axis=-1).any()
    deep = Grain(grainy.astype(np.uint16) * 257, hole, seed=0).apply(fill.astype(np.uint16) * 257)
    assert deep.dtype == np.uint16
    assert np.abs((deep >> 8) - result.astype(int)).max() <= 1
    assert len(np.unique(deep[hole] % 256)) > 50  # in its own depth


def test_small_and_wholly_masked_images():
    _, grainy, _ = film(9)
    for side in (1, 12, 40):
        part = grainy[:side, :side]
        grain = Grain(part, np.ones((side, side), bool), seed=0)
        assert grain.deviation is None
        np.testing.assert_array_equal(grain.apply(part), part)
