"""Conditions in one piece and in tiles draw and score the same; nobody sees the tiles."""

from __future__ import annotations

from itertools import pairwise

import helpers
import numpy as np
import pytest
import torch

from caflow_cli import load
from caflow_cli.assets import example_path
from caflow_cli.errors import CaflowError
from caflow_cli.flows import to_uint8
from caflow_cli.images import read_image
from caflow_cli.inference import conditions, tiling
from caflow_cli.inference.conditions import InTiles, OnePiece, read_conditions
from caflow_cli.inference.score import to_batch
from caflow_cli.inference.tiling import plan_tiles
from caflow_cli.model import standard_error
from caflow_cli.tasks import SuperRes


def smooth(batch: int, size: tuple[int, int], seed: int) -> torch.Tensor:
    return helpers.smooth_image(batch, 3, size, seed)


def pictures(drawn) -> np.ndarray:
    return np.stack([one.picture for one in drawn])


def test_one_piece_draws_and_scores_as_the_model_does(small_model):
    cond, targets = smooth(2, (32, 48), 0), smooth(4, (32, 48), 1)
    piece = OnePiece(small_model, cond)
    drawn = helpers.draw(piece, 0.8, [5, 9], 1, 2)
    expected = to_uint8(small_model.sample(cond, 0.8, 2, [5, 9], 1)).flatten(0, 1)
    np.testing.assert_array_equal(pictures(drawn), expected.permute(0, 2, 3, 1))
    assert [one.redraws for one in drawn] == [0] * 4
    values, deviations = piece.log_prob(targets, 2)
    value, error = small_model.log_prob_with_error(targets, cond, 2)
    assert values == value.tolist()
    assert torch.equal(standard_error(deviations), error)


def test_one_tile_is_the_picture_itself(small_model):
    """Both of two pictures, from their own seeds, and scores under their own conditions."""
    cond = smooth(2, (32, 48), 0)
    one, tiled = OnePiece(small_model, cond), InTiles(small_model, cond, plan_tiles((32, 48), 16))
    ours, theirs = (pictures(helpers.draw(way, 0.8, [5, 9], 1, 2)) for way in (tiled, one))
    assert ours.shape == theirs.shape == (4, 32, 48, 3)
    apart = np.abs(ours.astype(int) - theirs)
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 1e-3
    values, deviations = tiled.log_prob(to_batch(list(theirs)), 1)
    assert deviations is None
    assert values == pytest.approx(one.log_prob(to_batch(list(theirs)), 1)[0], abs=1e-2)
    np.testing.assert_allclose(tiled.statistics, one.statistics, atol=1e-5)


def test_a_score_is_the_sum_over_tiles(small_model):
    cond, target = smooth(1, (160, 288), 1), smooth(1, (160, 288), 2)
    tiles = plan_tiles((160, 288), 16, 256)
    assert tiles.lefts == (0, 32)
    expected = 0.0
    for left in tiles.lefts:
        pair = (side[..., left : left + 256].contiguous() for side in (target, cond))
        expected += float(small_model.log_prob(*pair, noise_samples=2))
    (found,), _ = InTiles(small_model, cond, tiles).log_prob(target, 2)
    assert found == pytest.approx(expected, abs=1e-2)


def test_a_shape_of_temperatures_is_the_same_in_tiles(small_model):
    cond = smooth(1, (160, 288), 2)
    tiled = InTiles(small_model, cond, plan_tiles((160, 288), 16, 256))
    whole = OnePiece(small_model, cond)
    for tau in ((0.9, 0.5, 0.2), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)):
        (ours,), (theirs,) = (
            helpers.draw(tiled, tau, [5], 0, 1),
            helpers.draw(whole, tau, [5], 0, 1),
        )
        assert np.abs(ours.picture.astype(int) - theirs.picture).max() <= 1
    (other,) = helpers.draw(whole, 0.5, [5], 0, 1)
    assert np.abs(other.picture.astype(int) - theirs.picture).max() > 1


def test_pictures_beyond_memory_are_in_tiles(small_model, monkeypatch):
    cond = smooth(1, (32, 240), 1)
    assert isinstance(read_conditions(small_model, cond), OnePiece)
    monkeypatch.setattr(tiling, "_ONE_PIECE", 32 * 224)
    monkeypatch.setattr(tiling, "_SIDE", 224)
    assert isinstance(read_conditions(small_model, cond), InTiles)


def test_tiles_that_were_drawn_have_their_statistics(small_model, monkeypatch):
    found = []
    own = conditions.statistics

    def counted(condition):
        found.append(own(condition))
        return found[-1]

    monkeypatch.setattr(conditions, "statistics", counted)
    tiles = plan_tiles((160, 288), 16, 256)
    tiled = InTiles(small_model, smooth(1, (160, 288), 1), tiles)
    helpers.draw(tiled, 0.5, [0], 0, 1)
    assert len(found) == len(tiles) == 2
    np.testing.assert_array_equal(tiled.statistics, np.mean(found, axis=0))
    assert len(found) == 2


@pytest.mark.parametrize("in_tiles", [False, True])
def test_draws_that_are_not_finite_are_refused_unless_asked_for(small_model, in_tiles):
    cond = smooth(1, (32, 32), 1)
    tiles = plan_tiles((32, 32), 16)
    way = InTiles(small_model, cond, tiles) if in_tiles else OnePiece(small_model, cond)
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(CaflowError, match=r"11 draws in a row run away .* at tau 1e\+39"),
    ):
        helpers.draw(way, 1e39, [0], 0, 1)
    with np.errstate(invalid="ignore"):
        ((drawn, redraws),) = helpers.draw(way, 1e39, [0], 0, 1, strict=False)
    assert drawn.shape == (32, 32, 3)
    assert redraws == 0


def test_tiles_of_a_guide_that_normalises_agree_where_they_overlap():
    """Also where one sees even ground, and the other does not."""
    config = helpers.task_config("paired", guide=(4, 4, 4, 4), guide_net="unet")
    model = helpers.data_like_model(config, seed=3, size=32, last=0.3)
    cond = smooth(1, (64, 512), 1)
    cond[..., :200] = 200
    tiles = plan_tiles((64, 512), 16, 352)
    assert tiles.lefts == (0, 160)
    left, right = (InTiles(model, cond, tiles)._read(0, corner).anchor for corner in tiles)
    own = [model.encode_condition(tiles.cut(cond, corner)).anchor for corner in tiles]

    def apart(one, other):
        return float((one.guide[..., 240:272] - other.guide[..., 80:112]).abs().max())

    assert apart(*own) > 0.05
    assert apart(left, right) < 1e-3  # each hears a little of what is 90 pixels away
    assert float(left.guide.std()) > 0.05


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
    picture = np.concatenate([np.concatenate([face, face[:, ::-1]], 1)] * 2, 0)[:60, :60]
    cond = to_batch([SuperRes(4).condition(picture)])
    tiles = plan_tiles((240, 240), 16, 224)
    assert len(tiles) == 4
    ((drawn, _),) = helpers.draw(InTiles(model, cond, tiles), 0.8, [0], 0, 1)
    ((whole, _),) = helpers.draw(OnePiece(model, cond), 0.8, [0], 0, 1)
    assert seam_ratio(drawn, tiles) / seam_ratio(whole, tiles) == pytest.approx(1, abs=0.05)
    apart = np.abs(drawn.astype(int) - whole.astype(int))
    # The guide sees 111 pixels far, and the borders are 88 away.
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 1e-3
