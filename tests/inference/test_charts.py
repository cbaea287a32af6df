"""Charts: the picture beside its map, and lines that say what is seen."""

from __future__ import annotations

import numpy as np
import pytest

from caflow_cli.inference import attribution, charts, restore, score
from caflow_cli.inference.charts import attribution_chart, spread_chart


@pytest.fixture
def lines(monkeypatch):
    """What the captions say."""
    said = []
    own = charts.captioned

    def heard(picture, text, *rest):
        said.extend(text.split("\n"))
        return own(picture, text, *rest)

    monkeypatch.setattr(charts, "captioned", heard)
    return said


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).integers(60, 190, (4, 4, 3), np.uint8)


def test_a_spread_is_shown_beside_the_likeliest(small_model, image, lines):
    result = restore(small_model, image, 0.8, 3)
    chart = spread_chart("name", result)
    assert np.array_equal(chart[8:392:24, :384:24], result.ranked[0].image)
    assert lines[0].startswith("name: standard deviation over 3 candidates")
    assert lines[1].endswith("tau 0.8")
    assert lines[2] == "understates spread at tau < 1"
    lines.clear()
    spread_chart("name", restore(small_model, image, 1.0, 3))
    assert len(lines) == 2


def test_an_attribution_is_shown_beside_what_was_scored(small_model, image, lines):
    target = restore(small_model, image, 1.0, 1).kept[0].image
    own = score(small_model, image, target)
    chart = attribution_chart("name", attribution(small_model, image, target, samples=4), own)
    assert np.array_equal(chart[8:392:24, :384:24], target)
    assert lines[0] == f"name: {own.summary}"
    assert "against 4 samples at tau 1" in lines[1]
    assert lines[2] == "attribution, not per-pixel likelihood"
