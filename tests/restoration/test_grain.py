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
    grain = Grain(grainy, hole)
    assert grain.deviation == pytest.approx(strength, rel=0.15)
    assert grain.spots == 3  # the hair crosses one
    fill = filled(smooth, grainy, hole)
    result = grain.apply(fill, 3)
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
    results = [Grain(grainy, hole).apply(fill, seed) for seed in (3, 3, 4)]
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0] != results[2])[hole].mean() > 0.8


def test_a_large_hole_has_neither_a_pattern_nor_seams():
    """Grain that repeats, or differs slowly from place to place, is seen."""
    smooth, grainy, hole = film(9)
    hole[:] = False
    hole[64:128, 32:160] = True
    fill = filled(smooth, grainy, hole)
    added = (Grain(grainy, hole).apply(fill, 0).astype(float) - fill)[64:128, 32:160]
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
    grain = Grain(grainy, hole)
    assert grain.spots == 7
    result = grain.apply(filled(smooth, grainy, hole), 3)
    assert fine(result)[hole].std() / fine(grainy)[~hole].std() == pytest.approx(1, abs=0.15)


def weaker(grainy, smooth, share, place):
    """The image with that share of its grain in a place."""
    image = grainy.copy()
    image[place] = rounded(smooth + share * (grainy.astype(float) - smooth))[place]
    return image


def amount(image, smooth, hole):
    """The deviation of the grain that a hole gets, relative to that of the image of `film(9)`."""
    result = Grain(image, hole).apply(filled(smooth, image, hole), 0)
    _, grainy, _ = film(9)
    return fine(result)[hole].std() / fine(grainy).std()


def test_between_holes_that_leave_no_large_block():
    smooth, grainy, hole = film(9, shape=(20, 300))
    hole[:] = False
    hole[8:16, 180:188] = True
    assert amount(grainy, smooth, hole) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize(("height", "top", "left", "side"), [(28, 8, 152, 16), (40, 12, 144, 24)])
def test_the_largest_blocks_that_fit_are_used(height, top, left, side):
    """A spot with little grain fills a smaller block, but no large one."""
    smooth, grainy, hole = film(9, shape=(height, 300))
    hole[:] = False
    hole[8:16, 180:188] = True
    spot = slice(top, top + side), slice(left, left + side)
    assert amount(weaker(grainy, smooth, 0.3, spot), smooth, hole) > 0.7


def test_what_a_hole_holds_has_no_influence():
    smooth, grainy, hole = film(9)
    hole[:] = False
    hole[60:130, 40:120] = True
    white = np.where(hole[..., None], np.uint8(255), grainy)
    results = []
    for image in (grainy, white, weaker(grainy, smooth, 0.4, hole)):
        grain = Grain(image, hole)
        results.append((grain.deviation, grain.apply(filled(smooth, grainy, hole), 3)))
    for deviation, result in results[1:]:
        assert deviation == results[0][0]
        np.testing.assert_array_equal(result, results[0][1])


def test_the_flattest_blocks_are_used():
    """What is rougher than the grain is the image itself."""
    smooth, grainy, hole = film(9)
    hole[:] = False
    hole[90:100, 100:110] = True
    image = weaker(grainy, smooth, 1.6, np.s_[:, 64:])
    assert amount(image, smooth, hole) == pytest.approx(1, abs=0.25)


def test_blocks_of_the_tone_beside_the_hole_are_used():
    """A dark band has half the grain of what surrounds it."""
    smooth, grainy, hole = film(9)
    hole[:] = False
    hole[90:100, 95:105] = True
    band = np.s_[:, 80:120]
    image = weaker(grainy, smooth, 0.5, band)
    image[band] -= smooth[band] - 40
    smooth[band] = 40
    assert amount(image, smooth, hole) == pytest.approx(0.5, abs=0.2)


@pytest.mark.parametrize("strength", [0, 1, 2])
def test_an_image_without_grain_is_left_as_it_is(strength):
    smooth, grainy, hole = film(strength)
    grain = Grain(grainy, hole)
    assert grain.deviation is None
    assert grain.spots == 0
    fill = filled(smooth, grainy, hole)
    np.testing.assert_array_equal(grain.apply(fill, 3), fill)


def test_texture_and_the_noise_of_sensors_are_no_grain():
    smooth, _, hole = film(0)
    _, x = np.mgrid[:192, :192]
    stripes = smooth + 12 * np.sin(1.6 * x)[..., None]  # in one direction
    white = smooth + 6 * np.random.default_rng(0).standard_normal((192, 192, 3))
    gravel = 10 * gaussian_filter(np.random.default_rng(1).standard_normal((192, 192)), 0.8) / 0.3
    fields = gaussian_filter(np.random.default_rng(2).standard_normal((3, 192, 192)), (0, 0.5, 1))
    weave = smooth + 12 * fields.transpose(1, 2, 0) / fields.std()  # wider than it is high
    for image in (stripes, white, weave, smooth + gravel[..., None]):  # gravel has no color
        assert Grain(rounded(image), hole).deviation is None


def test_a_fill_that_has_grain_or_texture_gets_none():
    _, grainy, hole = film(9)
    grain = Grain(grainy, hole)
    rough = filled(rounded(1.6 * grainy - 60.0), grainy, hole)
    assert (grain.apply(rough, 3) != rough)[hole].mean() < 0.05


@pytest.mark.parametrize("share", [0.6, 0.8])
def test_a_fill_that_has_some_grain_gets_what_it_lacks(share):
    """Powers add up, not deviations."""
    smooth, grainy, hole = film(9)
    _, other, _ = film(9, seed=5)
    fill = filled(weaker(other, smooth, share, hole), grainy, hole)
    results = [Grain(grainy, hole).apply(fill, seed) for seed in range(3)]
    strength = np.mean([fine(result)[hole].std() for result in results])
    assert strength / fine(grainy)[~hole].std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("side", [0, 1])
def test_beside_texture_there_is_no_grain_wherever_squares_meet(side):
    """Columns 64 and 96 begin squares; the texture ends five pixels before or behind one."""
    smooth, grainy, hole = film(9)
    hole[:] = False
    hole[32:160, 32:160] = True
    rough = smooth.astype(float)
    place = np.s_[:, 82:91] if side == 0 else np.s_[:, 69:78]
    rough[place] += 40 * np.random.default_rng(1).standard_normal(rough[place].shape)
    fill = filled(rounded(rough), grainy, hole)
    added = (Grain(grainy, hole).apply(fill, 0) - fill.astype(float))[32:160]
    columns = np.sqrt((added**2).mean((0, 2)))
    near = columns[96:99] if side == 0 else columns[61:64]
    assert near.max() < 0.2 * np.median(columns[104:152] if side == 0 else columns[40:56])


def test_a_dark_object_gets_the_grain_that_it_has():
    """Its grain is weak, and no block of its tone is known."""
    smooth, grainy, hole = film(9)
    y, x = np.mgrid[:192, :192]
    away = np.hypot(y - 100, x - 120)
    for image in (smooth, grainy):
        image[away < 20] = rounded(image[away < 20] / 6.0)
    hole = away < 6
    result = Grain(grainy, hole).apply(filled(smooth, grainy, hole), 0)
    known = fine(grainy)[(away > 8) & (away < 16)].std()
    assert fine(result)[hole].std() / known == pytest.approx(1, abs=0.3)


def test_highlights_get_the_grain_that_is_left_of_it():
    """Where values are clipped, no block is free of them, and grain is weaker."""
    smooth, grainy, hole = film(9)
    lighter = 255 - rounded((255 - smooth.astype(float)) * 0.02)
    grain = fine(grainy)
    bright = rounded(lighter + (grainy.astype(float) - smooth) * 0.6)
    hole[:, 96:] = False
    half = np.arange(192)[None, :, None] < 96
    image = np.where(half, bright, grainy)
    result = Grain(image, hole).apply(filled(np.where(half, lighter, smooth), image, hole), 0)
    inside = np.zeros_like(hole)
    inside[20:170, 10:80] = True
    around = fine(image)[inside & ~hole].std()
    assert around < 0.5 * grain.std()
    assert fine(result)[hole & inside].std() / around == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize("strength", [0, 9])
def test_a_strength_is_that_of_the_grain_whatever_the_image_has(strength):
    smooth, grainy, hole = film(9)
    image = grainy if strength else smooth
    grain = Grain(image, hole, strength=5)
    assert grain.deviation == 5
    added = grain.apply(filled(smooth, image, hole), 0).astype(float) - smooth
    _, weak, _ = film(5)
    assert fine(added)[hole].std() / fine(weak)[hole].std() == pytest.approx(1, abs=0.2)


def test_gray_stays_gray_and_16_bits_agree_with_8():
    smooth, grainy, hole = film(9, gray=True)
    fill = filled(smooth, grainy, hole)
    result = Grain(grainy, hole).apply(fill, 0)
    assert (result != fill)[hole].mean() > 0.8
    assert not np.ptp(result, axis=-1).any()
    deep = Grain(grainy.astype(np.uint16) * 256, hole).apply(fill.astype(np.uint16) * 256, 0)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 256 - result).max() <= 0.51
    assert len(np.unique(deep[hole] % 256)) > 50  # in its own depth


def test_small_and_wholly_masked_images():
    _, grainy, _ = film(9)
    for side in (1, 12, 40):
        part = grainy[:side, :side]
        grain = Grain(part, np.ones((side, side), bool))
        assert grain.deviation is None
        np.testing.assert_array_equal(grain.apply(part, 3), part)


def sepia(image):
    """A gray image, toned."""
    return rounded(255 * (image / 255) ** np.array([0.85, 1, 1.25]))


def chroma(detail):
    """The deviation of colors in fine detail, relative to its own."""
    luma = detail @ np.array([0.299, 0.587, 0.114])
    return (detail - luma[:, None]).std() / detail.std()


@pytest.mark.parametrize(("strength", "is_found"), [(9, True), (2, False)])
def test_a_toned_print_gets_grain_of_its_own_tone(strength, is_found):
    """The grain of a portrait of 256×256, and grain that is asked for where there is little."""
    smooth, grainy, hole = film(strength, shape=(256, 256), gray=True)
    smooth, grainy = sepia(smooth), sepia(grainy)
    auto = Grain(grainy, hole)
    assert (auto.deviation is not None) == is_found
    fill = filled(smooth, grainy, hole)
    own = chroma(fine(sepia(film(9, shape=(256, 256), gray=True)[1]))[~hole])
    for grain in [auto, Grain(grainy, hole, 6)][1 - is_found :]:
        added = (grain.apply(fill, 3).astype(float) - fill)[hole]
        assert chroma(added) == pytest.approx(own, abs=0.03)
    colors = np.where(np.arange(256)[:, None, None] < 128, grainy, grainy[..., ::-1])
    assert Grain(colors, hole).deviation is None  # of two colors: texture has no color either


def test_grain_that_is_drawn_has_the_colors_of_the_noise_of_its_image():
    smooth, _, hole = film(0)
    noise = np.random.default_rng(0).standard_normal((192, 192, 3))
    noise[..., 1:] = 0.9 * noise[..., :1] + 0.3 * noise[..., 1:]
    image = rounded(smooth + 2 * noise)
    added = Grain(image, hole, 6).apply(filled(smooth, image, hole), 3).astype(float) - smooth
    assert np.corrcoef(added[hole].T).min() > 0.75  # 0.9 in the noise, 0.56 where there is none
