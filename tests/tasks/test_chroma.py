"""Colours on their way from model scale to full size."""

from __future__ import annotations

import numpy as np
import pytest

from caflow_cli.tasks.base import resize
from caflow_cli.tasks.chroma import carry


def halves(height: int, width: int, left: float, right: float) -> np.ndarray:
    values = np.full((height, width), left, np.float32)
    values[:, width // 2 + 3 :] = right  # not at a border of pixels of model scale
    return values


def test_colours_end_where_the_luminance_has_an_edge() -> None:
    level = halves(64, 96, 40, 200).astype(np.uint8)
    truth = halves(64, 96, -30, 30)
    [found] = carry([resize(truth, 16, 24)], resize(level, 16, 24), level)
    plain = resize(resize(truth, 16, 24), 64, 96)
    edge = np.s_[:, 44:58]
    error, before = (np.abs(x - truth)[edge].mean() for x in (found, plain))
    assert error < 0.6 * before


def test_the_shrunk_result_has_the_chroma_of_the_draw() -> None:
    rng = np.random.default_rng(0)
    level = rng.integers(0, 256, (96, 128), np.uint8)
    small = resize(level, 24, 32)
    plane = resize(rng.normal(0, 40, (6, 8)).astype(np.float32), 24, 32)
    [found] = carry([plane], small, level)
    plain = resize(plane, 96, 128)
    error, before = (np.abs(resize(x, 24, 32) - plane).mean() for x in (found, plain))
    assert error < 0.4 * before


def test_even_chroma_stays_even() -> None:
    level = np.random.default_rng(1).integers(0, 256, (50, 70), np.uint8)
    found = carry([np.full((20, 28), 7.5, np.float32)], resize(level, 20, 28), level)
    np.testing.assert_allclose(found[0], 7.5, atol=1e-4)


def test_strips_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    level = rng.integers(0, 256, (60, 80), np.uint8)
    planes = [rng.normal(0, 20, (15, 20)).astype(np.float32) for _ in range(3)]
    whole = carry(planes, resize(level, 15, 20), level)
    monkeypatch.setattr("caflow_cli.tasks.chroma._STRIP", 7 * 80)
    for a, b in zip(carry(planes, resize(level, 15, 20), level), whole, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("side", [16, 12])
def test_a_picture_that_is_not_enlarged_is_resized(side: int) -> None:
    rng = np.random.default_rng(3)
    plane = rng.normal(0, 20, (16, 16)).astype(np.float32)
    level = rng.integers(0, 256, (side, side), np.uint8)
    [found] = carry([plane], resize(level, 16, 16), level)
    np.testing.assert_array_equal(found, resize(plane, side, side))
