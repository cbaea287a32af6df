"""Tiles cover an image evenly; in them it is drawn and scored as in one piece, without seams."""

from itertools import pairwise

import helpers
import numpy as np
import pytest
import torch

from caflow_cli.config import Temperature
from caflow_cli.layers import to_stored
from caflow_cli.restoration import Whole, to_batch
from caflow_cli.restoration.conditions import Steps
from caflow_cli.restoration.tiled import Tiled
from caflow_cli.tasks.tiles import plan_tiles


def smooth(batch: int, size: tuple[int, int], seed: int) -> torch.Tensor:
    return helpers.smooth_image(batch, 3, size, seed)


def images(drawn) -> np.ndarray:
    assert not any(sample.redraws for sample in drawn)
    return np.stack([sample.image for sample in drawn])


@pytest.mark.parametrize("length", [16, 224, 240, 256, 512, 1040, 4096, 8176])
@pytest.mark.parametrize("side", [224, 1024])
def test_tiles_cover_with_even_overlaps(length, side):
    plan = plan_tiles((length, 48), 16, side)
    tops = plan.tops
    assert tops[0] == 0
    assert tops[-1] + plan.shape[0] == length
    assert all(top % 32 == 0 for top in tops)  # as coarse as what a trunk pools
    overlaps = [before + plan.shape[0] - after for before, after in pairwise(tops)]
    assert all(overlap >= 192 for overlap in overlaps)
    assert max(overlaps, default=192) < 192 + 4 * 16
    if len(tops) > 1:  # neither fewer tiles nor smaller ones would do
        assert plan.shape[0] <= side + 2 * 16
        assert (len(tops) - 1) * (side - 192) < length - 192
        assert len(tops) * (plan.shape[0] - 3 * 16 - 192) < length - 192
    assert plan.lefts == (0,)
    total = np.zeros(length)
    for top, weight in zip(tops, plan.weights(0), strict=True):
        total[top : top + plan.shape[0]] += weight
        assert weight.min() >= 0
        if top > 0:
            assert not weight[:80].any()  # where the tile's own border shows
            assert np.abs(np.diff(weight)).max() < 0.032  # no seam
    if len(tops) == 2:  # the ramp is in the middle
        first, second = plan.weights(0)
        np.testing.assert_allclose(first, second[::-1], atol=1e-6)
    np.testing.assert_allclose(total, 1, atol=1e-6)
    np.testing.assert_array_equal(plan.weights(1), [np.ones(48)])


def test_one_tile_draws_and_scores_as_the_model_does(small_model):
    cond, targets = smooth(2, (32, 48), 0), smooth(4, (32, 48), 1)
    conditions = Whole(small_model, cond)
    drawn = helpers.draw(conditions, 0.8, [5, 9], 1, 2)
    expected = to_stored(small_model.sample(cond, 0.8, 2, [6, 10]), 1).flatten(0, 1)
    np.testing.assert_array_equal(images(drawn), expected.permute(0, 2, 3, 1))
    nats = conditions.log_prob(targets, 2)
    assert [one.value for one in nats] == small_model.log_prob(targets, cond, 2).tolist()
    assert [one.deviations.shape for one in nats] == [(2,)] * 4


def test_a_score_is_the_sum_over_tiles_of_its_own_condition(small_model):
    cond, targets = smooth(1, (160, 288), 1), smooth(2, (160, 288), 2)
    plan = plan_tiles((160, 288), 16, 256)
    assert plan.lefts == (0, 32)
    expected = torch.zeros(2)
    for left in plan.lefts:
        pair = (side[..., left : left + 256].contiguous() for side in (targets, cond))
        expected = expected + small_model.log_prob(*pair, noise_samples=2)

    def refused(*_):
        pytest.fail("this model normalizes nothing")

    model = helpers.double_of(small_model, moments=refused)
    found = Tiled(model, cond, plan).log_prob(targets, 2)
    assert [one.value for one in found] == pytest.approx(expected.tolist(), abs=1e-2)
    assert [one.deviations for one in found] == [None, None]


@pytest.mark.parametrize(
    ("dtype", "point", "stored"),
    [
        (torch.uint8, 100.7, 100),
        (torch.uint8, 256.5, 255),
        (torch.uint16, 100.7, 25779),
        (torch.uint16, 256.5, 65535),
        (torch.uint16, -0.5, 0),
    ],
)
def test_rows_and_columns_of_tiles_give_each_pixel_once(small_model, dtype, point, stored):
    def even(_, own, latents, cond, **more):
        points = torch.full((1, 3, *cond.size), point)
        return points, torch.zeros(1, dtype=torch.float64)

    plan = plan_tiles((256, 256), 16, 224)
    assert plan.shape[0] == plan.shape[1]
    assert len(plan) == 4
    model = helpers.double_of(small_model, decode=even)
    conditions = Tiled(model, smooth(1, (256, 256), 1).to(dtype), plan)
    assert (images(helpers.draw(conditions, 1, [0], 0, 1)) == stored).all()


def test_every_tile_is_told_as_it_is_drawn_and_as_it_is_scored(small_model):
    size, told = (32, 320), []
    plan = plan_tiles(size, 16, 224)
    count = len(plan)
    steps = Steps(lambda *step: told.append(step), 2 * count)
    conditions = Tiled(small_model, smooth(1, size, 1), plan, steps=steps)
    ((image, *_),) = conditions.draw(Temperature.of(0.5), [helpers.generator(3)])
    conditions.log_prob(to_batch([image]))
    assert told == [(done, 2 * count) for done in range(1, 2 * count + 1)]


def test_tiles_of_a_guide_that_normalizes_agree_where_they_overlap():
    """Also where one sees even ground, and the other does not."""
    config = helpers.task_config("paired", guide=(4, 4, 4, 4), guide_net="unet")
    model = helpers.data_like_model(config, seed=3, size=32, last=0.3)
    cond = smooth(1, (64, 512), 1)
    cond[..., :200] = 200
    plan = plan_tiles((64, 512), 16, 352)
    assert plan.lefts == (0, 160)
    seen = []

    def noted(_, own, given, *more):
        if isinstance(given, torch.Tensor):  # else it is computed already
            seen.append(own(given, *more))
            given = seen[-1]
        return given

    def counted(_, own, patches):
        averaged.append(patches.shape)
        return own(patches)

    averaged = []
    double = helpers.double_of(model, encode_condition=noted, moments=counted)
    Tiled(double, cond, plan).log_prob(cond)
    assert averaged == [(2, 3, 64, 256)]  # once for all tiles
    _, left, right = (one.anchor for one in seen)  # places spread over the image come first
    own = [model.encode_condition(plan.cut(cond, corner)).anchor for corner in plan]

    def apart(one, other):
        return float((one.mean[..., 240:272] - other.mean[..., 80:112]).abs().max())

    assert apart(*own) > 0.05
    assert apart(left, right) < 1e-3  # each hears a little of what is 90 pixels away
    assert float(left.mean.std()) > 0.05
