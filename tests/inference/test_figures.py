"""Figures: legible, whole, in colours that mean what they say."""

from __future__ import annotations

from types import SimpleNamespace

import helpers
import numpy as np
import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.inference import Attribution, Score, attribution, restore, score, spread
from caflow_cli.inference.figures import (
    attribution_chart,
    grid_row,
    spread_chart,
    spread_map,
    thumbnail,
)
from caflow_cli.temperature import Temperature


def luminance(colours: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB colours, 0 to 100."""
    linear = np.where(
        colours <= 0.04045 * 255, colours / 255 / 12.92, ((colours / 255 + 0.055) / 1.055) ** 2.4
    )
    y = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(y > 0.008856, 116 * np.cbrt(y) - 16, 903.3 * y)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(60, 190, (4, 4, 3), np.uint8)


def candidates(*levels: int) -> list:
    """Even images of 64x96, the first columns of the second half as wide as they are bright."""
    images = [np.full((64, 96, 3), 50, np.uint8) for _ in levels]
    for one, level in zip(images, levels, strict=True):
        one[:, 48:] = level
    return [SimpleNamespace(image=one) for one in images]


def test_a_map_of_spread_has_the_colours_of_its_bar():
    chart, lines = spread_map(candidates(50, 60), Temperature.of(0.8))
    assert lines[0].startswith("standard deviation over 2 candidates")
    assert lines[1:] == ["mean 3.54, largest 7.1; tau 0.8", "understates spread at tau < 1"]
    assert len(spread_map(candidates(50, 60), Temperature.of(1))[1]) == 2
    bar = chart[:, 384 + 12 + 5]
    assert (chart[100, 40] == bar[8 + 255]).all()  # no spread: the lower end
    share = 10 * 0.5**0.5 / 10  # of the bar, which ends at 10
    assert np.abs(chart[100, 380].astype(int) - bar[8 + round(255 * (1 - share))]).max() <= 2
    assert chart[:, 384 + 12 + 18 :].min() < 100  # labels
    steps = -np.diff(luminance(bar[8 : 8 + 256 : 17].astype(float)))
    assert steps.min() > 0.4 * steps.max() > 0  # lighter in even steps


def test_both_ends_of_a_score_map_are_equally_dark():
    z = np.tile(np.linspace(-3, 3, 7), (7, 1))
    found = Attribution(np.zeros((28, 28, 3), np.uint8), np.zeros((28, 28)), z, 4, 32)
    chart = attribution_chart("name", found, Score(-1.0, None, None, None, "tiles", (28, 28)))
    left = 13 * 28 + 12  # of the map: 364 pixels, 13 times as large, as is the image before it
    shown = chart[100, left + 26 : left + 364 : 52].astype(float)
    lightness = luminance(shown)
    assert lightness.argmax() == 3
    np.testing.assert_allclose(lightness, lightness[::-1], atol=5)
    assert shown[0][0] > shown[0][2]  # red: less likely than samples
    assert shown[-1][0] < shown[-1][2]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((16, 16), (192, 192)),
        ((64, 40), (192, 120)),
        ((900, 600), (192, 128)),
        ((2, 5000), (1, 192)),
    ],
)
def test_thumbnails_fit_their_side(size, expected):
    whole = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    small = thumbnail(whole, 192)
    assert small.shape[:2] == expected
    if times := expected[0] // size[0]:
        assert np.array_equal(small[::times, ::times], whole)


def test_the_spread_is_that_of_composed_candidates(small_model):
    given = helpers.smooth_image(1, 3, (7, 9), seed=1)[0].permute(1, 2, 0).contiguous().numpy()
    result = restore(small_model, given, 0.8, 5)
    images = np.stack([candidate.image for candidate in result.ranked]).astype(float)
    found = spread(result.ranked)
    assert found.shape == (28, 36)
    np.testing.assert_allclose(found, np.sqrt(images.var(0, ddof=1).mean(2)), rtol=1e-4, atol=1e-3)
    with pytest.raises(CaflowError, match="no spread"):
        spread(result.ranked[:1])


def test_charts_show_the_image_beside_its_map(small_model, image):
    result = restore(small_model, image, 0.8, 3)
    best = result.ranked[0].image
    chart = spread_chart("name", result.ranked, result.tau)
    found = attribution(small_model, image, best, samples=4)
    other = attribution_chart("name", found, score(small_model, image, best))
    for shown in (chart, other):
        assert np.array_equal(shown[8:392:24, :384:24], best)
        assert shown[400:].min() < 100  # the caption below


def test_a_row_shows_the_input_and_all_candidates_ten_to_a_line(small_model, image):
    result = restore(small_model, image, 0.8, 11)
    name = "words that do not fit andneitherdoesthisonewordofmanyletters Ü"
    row = grid_row(name, result.tau, result.seen, result.ranked)
    cell, gap = 192, 12
    assert row.shape[1] == 11 * (cell + gap) - gap
    assert np.array_equal(row[:cell:48, :cell:48], image)
    for line in range(5):  # the long name is broken
        assert row[cell + 4 + 17 * line :][:17, :cell].min() < 100
    line = (row.shape[0] + gap) // 2  # from one line of candidates to the next
    for place, candidate in enumerate(result.ranked):
        top, left = place // 10 * line, (1 + place % 10) * (cell + gap)
        shown = row[top : top + cell : 12, left : left + cell : 12]
        assert np.array_equal(shown, candidate.image), place
        assert row[top + cell : top + cell + 40, left : left + cell].min() < 100  # its caption
