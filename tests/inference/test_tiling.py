"""Tiles of one noise field: they cover, they agree, and nobody sees them."""

from __future__ import annotations

from itertools import pairwise

import helpers
import numpy as np
import pytest

from caflow_cli import load
from caflow_cli.assets import example_path
from caflow_cli.flows import to_uint8
from caflow_cli.images import read_image
from caflow_cli.inference.score import to_batch
from caflow_cli.inference.tiling import (
    _blend,
    _weights,
    draw,
    encode_tiles,
    plan_tiles,
    score_tiles,
)
from caflow_cli.tasks import SuperRes


def smooth(size: tuple[int, int], seed: int) -> np.ndarray:
    return helpers.smooth_image(1, 3, size, seed)[0].permute(1, 2, 0).contiguous().numpy()


@pytest.mark.parametrize("length", [16, 224, 240, 256, 512, 1040, 4096, 8176])
@pytest.mark.parametrize("side", [224, 1024])
def test_tiles_cover_with_even_overlaps(length, side):
    tiles = plan_tiles((length, 48), 16, side)
    tops = tiles.tops
    assert tops[0] == 0
    assert tops[-1] + tiles.shape[0] == length
    assert all(top % 16 == 0 for top in tops)
    overlaps = [before + tiles.shape[0] - after for before, after in pairwise(tops)]
    assert all(overlap >= 192 for overlap in overlaps)
    assert max(overlaps, default=192) < 192 + 2 * 16
    if len(tops) > 1:  # neither fewer tiles nor smaller ones would do
        assert tiles.shape[0] <= side
        assert (len(tops) - 1) * (side - 192) < length - 192
        assert len(tops) * (tiles.shape[0] - 16 - 192) < length - 192
    assert tiles.lefts == (0,)
    weights = _weights(tops, tiles.shape[0], tiles.ramp)
    total = np.zeros(length)
    for top, weight in zip(tops, weights, strict=True):
        total[top : top + tiles.shape[0]] += weight
        assert weight.min() >= 0
        if top > 0:
            assert not weight[:80].any()  # where the tile's own border shows
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_one_tile_is_the_picture_itself(small_model):
    condition = smooth((32, 48), seed=0)
    tiles = plan_tiles((32, 48), 16)
    encodings = encode_tiles(small_model, condition, tiles)
    assert len(tiles) == 1
    drawn = _blend(small_model, encodings, tiles, 0.8, seed=5)
    batch = to_batch([condition])
    expected = to_uint8(small_model.sample(batch, 0.8, 1, 5))[0, 0].permute(1, 2, 0).numpy()
    assert np.array_equal(drawn, expected)
    score = score_tiles(small_model, drawn, encodings, tiles)
    assert score == pytest.approx(float(small_model.log_prob(to_batch([drawn]), batch)), abs=1e-2)


def test_a_score_is_the_sum_over_tiles(small_model):
    condition, target = smooth((160, 288), seed=1), smooth((160, 288), seed=2)
    tiles = plan_tiles((160, 288), 16, 256)
    assert tiles.lefts == (0, 48)
    expected = 0.0
    for left in tiles.lefts:
        pair = (to_batch([picture[:, left : left + 240]]) for picture in (target, condition))
        expected += float(small_model.log_prob(*pair, noise_samples=2))
    encodings = encode_tiles(small_model, condition, tiles)
    assert score_tiles(small_model, target, encodings, tiles, 2) == pytest.approx(
        expected, abs=1e-2
    )


def seam_ratio(picture: np.ndarray, tiles) -> float:
    """Mean gradient over the ramps, where a seam would be, to that everywhere else."""
    values = picture.astype(float)
    at, elsewhere = [], []
    for axis, (starts, side) in enumerate(zip((tiles.tops, tiles.lefts), tiles.shape, strict=True)):
        gradient = np.abs(np.diff(values, axis=axis)).mean((1 - axis, 2))
        places = np.arange(len(gradient)) + 1
        near = np.zeros(len(gradient), bool)
        for before, after in pairwise(starts):
            near |= np.abs(places - (before + side + after) / 2) <= tiles.ramp / 2
        at.append(gradient[near])
        elsewhere.append(gradient[~near])
    return float(np.concatenate(at).mean() / np.concatenate(elsewhere).mean())


def test_no_seam_shows():
    """Against the same picture in one piece, so that content at a border does not count."""
    model = load("faces-superres-x4")
    face = read_image(example_path("face_64"))
    picture = np.concatenate([np.concatenate([face, face[:, ::-1]], 1)] * 2, 0)[:72, :72]
    condition = SuperRes(4).condition(picture)
    size = condition.shape[:2]
    tiles = plan_tiles(size, 16, 256)
    assert len(tiles) == 4
    (drawn,) = draw(model, encode_tiles(model, condition, tiles), tiles, 0.8, seed=0)
    whole = to_uint8(model.sample(to_batch([condition]), 0.8))[0, 0].permute(1, 2, 0).numpy()
    assert seam_ratio(drawn, tiles) / seam_ratio(whole, tiles) == pytest.approx(1, abs=0.05)
    apart = np.abs(drawn.astype(int) - whole.astype(int))
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 1e-4
