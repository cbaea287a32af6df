"""Scores of pairs: their error, their bits, and what they are of."""

from __future__ import annotations

import math
from pathlib import Path

import helpers
import numpy as np
import pytest
import torch

from caflow_cli.errors import CaflowError
from caflow_cli.inference import restore, score, task_of
from caflow_cli.inference.score import Nats, Score, check_mask, score_of, to_batch
from caflow_cli.tasks import SuperRes


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 190, (height, width, 3), np.uint8)


def test_a_score_is_the_likelihood_of_the_reduced_pair(small_model):
    image, target = picture(8, 9), picture(32, 36, 1)
    found = score(small_model, image, target)
    cond, reduced = (to_batch([side]) for side in task_of(small_model).reduce(image, target))
    nats = float(small_model.log_prob(reduced, cond))
    assert found.log_likelihood == found.rank_score == nats
    assert found.bits_per_dim == pytest.approx(-nats / (3 * 32 * 48 * math.log(2)))
    assert (found.score_domain, found.scored_size) == ("reduced", (48, 32))
    assert found.summary == f"{nats:.1f} nats, {found.bits_per_dim:.3f} bits/dim"


def test_in_tiles_there_is_no_likelihood():
    nats = [Nats(-1.25, None)]
    found = score_of(nats, [SuperRes()], (8, 8), picture(8, 8))
    assert found == Score(-1.25, None, None, None, "tiles", (8, 8))
    assert found.summary == "rank score -1.2 nats, in tiles"


def test_a_score_that_is_not_finite_is_refused(small_model):
    def no_score(*_):
        return torch.tensor([math.inf]), torch.zeros(1, 1)

    model = helpers.double_of(small_model, log_prob_with_deviations=no_score)
    with pytest.raises(CaflowError, match="a log-likelihood is not finite"):
        score(model, picture(8, 8), picture(32, 32))


def test_masks_come_where_the_task_needs_one(task_models):
    for name, model in task_models.items():
        needed = name == "inpaint"
        check_mask(task_of(model), needed)
        with pytest.raises(CaflowError, match="a mask" if needed else "no mask"):
            check_mask(task_of(model), not needed)


def test_more_noise_draws_give_a_standard_error(small_model):
    image = picture(8, 8)
    target = restore(small_model, image, 0.8, 1).ranked[0].image
    one, eight = (score(small_model, image, target, noise_samples=k) for k in (1, 8))
    assert one.standard_error is None
    assert 0 < eight.standard_error < 50
    assert one.log_likelihood != eight.log_likelihood
    assert abs(one.log_likelihood - eight.log_likelihood) < 8 * eight.standard_error * 8**0.5


def test_a_target_of_another_size_is_refused(small_model):
    with pytest.raises(CaflowError, match="the target is 31x32") as caught:
        score(small_model, picture(8, 8), picture(32, 31))
    assert "32x32" in caught.value.hint


@pytest.mark.parametrize("name", ["photos-superres-x4", Path("mine.safetensors")])
def test_a_name_in_the_place_of_a_model_is_answered_by_how_to_load_it(name):
    image = picture(8, 8)
    for work in (lambda: restore(name, image), lambda: score(name, image, image)):
        with pytest.raises(CaflowError, match="nothing is loaded") as caught:
            work()
        assert caught.value.hint == f"model = caflow_cli.load({str(name)!r})"
        assert caught.value.exit_code == 2
