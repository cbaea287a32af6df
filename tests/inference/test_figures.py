"""Figures: legible, whole, in colours that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from caflow_cli.inference.figures import (
    captioned,
    colour_chart,
    diverging,
    nice_above,
    sequential,
    stacked,
    thumbnail,
)


def luminance(colours: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB colours, 0 to 100."""
    linear = np.where(
        colours <= 0.04045 * 255, colours / 255 / 12.92, ((colours / 255 + 0.055) / 1.055) ** 2.4
    )
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)


def test_more_is_lighter_in_even_steps():
    steps = np.diff(luminance(sequential(np.linspace(0, 1, 13)).astype(float)))
    assert steps.min() > 0.5 * steps.max() > 0


def test_both_ends_of_the_diverging_map_are_equally_dark():
    lightness = luminance(diverging(np.linspace(0, 1, 7)).astype(float))
    assert lightness.argmax() == 3
    np.testing.assert_allclose(lightness, lightness[::-1], atol=5)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((16, 16), (192, 192)),
        ((64, 40), (192, 120)),
        ((100, 150), (100, 150)),
        ((900, 600), (192, 128)),
        ((2, 5000), (1, 192)),
    ],
)
def test_thumbnails_fit_their_side(size, expected):
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    small = thumbnail(picture, 192)
    assert small.shape[:2] == expected
    if size[0] * 12 == expected[0]:
        assert np.array_equal(small[::12, ::12], picture)


def test_captions_are_broken_to_fit_and_ink_is_below_the_picture():
    picture = np.full((50, 120, 3), 7, np.uint8)
    short = captioned(picture, "one")
    long = captioned(picture, "words that do not fit\nandneitherdoesthisonewordofmanyletters Ü")
    assert np.array_equal(short[:50], picture)
    assert short.shape[1] == long.shape[1] == 120
    assert short.shape[0] < long.shape[0]
    for line in range(4):
        assert long[54 + 17 * line : 71 + 17 * line].min() < 100
    assert (long[50:, -1] == 255).all()


def test_a_colour_chart_shows_values_and_their_scale():
    values = np.zeros((64, 64))
    values[:32, :32] = 10
    chart = colour_chart(values, 0, 10, sequential, 128)
    high, low = sequential(np.array([1.0, 0.0]))
    assert (chart[40, 40] == high).all()
    assert (chart[120, 120] == low).all()
    bar = chart[:, 128 + 12 + 5]
    assert (bar[8] == high).all()
    assert (bar[8 + 127] == low).all()
    assert chart[:, 128 + 12 + 18 :].min() < 100  # labels


@pytest.mark.parametrize(
    ("value", "nice"), [(0, 1), (1, 1), (1.2, 2), (4.2, 5), (50.0, 50), (51, 100)]
)
def test_nice_numbers(value, nice):
    assert nice_above(value) == nice


def test_stacked_figures_are_all_there():
    rows = [np.full((height, width, 3), 9, np.uint8) for height, width in ((10, 30), (20, 50))]
    whole = stacked(rows)
    assert whole.shape == (42, 50, 3)
    assert (whole == 9).all(2).sum() == 300 + 1000
