"""Figures: legible, whole, in colors that mean what they say."""

from types import SimpleNamespace

import helpers
import numpy as np
import pytest
from matplotlib import colormaps

from caflow_cli.config import Temperature
from caflow_cli.errors import CaflowError
from caflow_cli.restoration import restore, spread
from caflow_cli.restoration.figures import (
    uncertainty_map,
)


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(60, 190, (4, 4, 3), np.uint8)


def candidates(*levels: int) -> list:
    """Even images of 64x96, the first columns of the second half as wide as they are bright."""
    images = [np.full((64, 96, 3), 50, np.uint8) for _ in levels]
    for one, level in zip(images, levels, strict=True):
        one[:, 48:] = level
    return [SimpleNamespace(edited=one, predicted=[]) for one in images]


def test_a_map_of_spread_has_the_colors_of_its_bar():
    chart, lines = uncertainty_map(candidates(50, 60), Temperature.of(0.8))
    assert lines[0].startswith("standard deviation over 2 candidates")
    assert lines[1:] == ["mean 3.54, largest 7.1; tau 0.8", "understates spread at tau < 1"]
    assert len(uncertainty_map(candidates(50, 60), Temperature.of(1))[1]) == 2
    colors = colormaps["inferno"]([0.0, 1.0], bytes=True)[:, :3]
    bar = chart[:, 384 + 12 + 5]
    for shown, color in zip((chart[100, 40], chart[100, 380]), colors, strict=True):
        assert (shown == color).all()  # no spread, and the most
        assert (np.abs(bar.astype(int) - color).max(1) <= 24).any()
    assert chart[:, 384 + 12 + 18 :].min() < 100  # labels


def test_the_spread_is_that_of_composed_candidates(small_model):
    given = helpers.smooth_image(1, 3, (7, 9), seed=1)[0].permute(1, 2, 0).contiguous().numpy()
    result = restore(small_model, given, 0.8, 5)
    images = np.stack([candidate.image for candidate in result.ranked]).astype(float)
    found = spread(result.ranked)
    assert found.shape == (28, 36)
    np.testing.assert_allclose(found, np.sqrt(images.var(0, ddof=1).mean(2)), rtol=1e-4, atol=1e-3)
    with pytest.raises(CaflowError, match="no spread"):
        spread(result.ranked[:1])


def test_a_row_shows_the_input_and_all_candidates_ten_to_a_line(small_model, image):
    result = restore(small_model, image, 0.8, 11)
    name = "words that do not fit andneitherdoesthisonewordofmanyletters Ü 字 $x$"
    row = np.asarray(result.grid(name))
    cell, gap, text = 192, 12, 5 * 17
    assert row.shape[1] == 11 * (cell + gap) - gap
    assert np.array_equal(row[:cell:48, :cell:48], image)
    for line in range(5):  # the long name is broken
        assert row[cell + 17 * line :][:17, :cell].min() < 100
    line = cell + text + gap  # from one line of candidates to the next
    for place, candidate in enumerate(result.ranked):
        top, left = place // 10 * line, (1 + place % 10) * (cell + gap)
        shown = row[top : top + cell : 12, left : left + cell : 12]
        assert np.array_equal(shown, candidate.image), place
        assert row[top + cell : top + cell + 40, left : left + cell].min() < 100  # its caption
