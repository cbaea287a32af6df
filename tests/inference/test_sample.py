"""The one path: a candidate is the same, and scores the same, whoever asks for it."""

from __future__ import annotations

from dataclasses import replace
from math import nan

import helpers
import numpy as np
import pytest
import torch

from caflow_cli.data.examples import Examples
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.examples import make_example
from caflow_cli.inference import Request, Sampler, restore, score, task_of

TASKS = ["superres", "colorize", "inpaint", "paired"]


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def pictures(count: int, size: int | tuple[int, int] = 32, seed: int = 5) -> list[np.ndarray]:
    images = helpers.smooth_image(count, 3, size, seed).permute(0, 2, 3, 1)
    return [image.contiguous().numpy() for image in images]


def asked(model, count: int = 2):
    """Pictures as a user would have them, and their masks, of one size at model scale."""
    rows = [[image, image] for image in pictures(count)]
    reader = Examples("all", None, [f"p{r}" for r in range(count)], lambda row: rows[row])
    examples = [make_example(task_of(model), reader, row) for row in range(count)]
    return [(example.input, example.mask) for example in examples]


def sampler(model, batch_size=None) -> Sampler:
    requests = [Request.of(task_of(model), *one) for one in asked(model)]
    return Sampler(model, requests, batch_size=batch_size)


def flat(batches) -> list:
    return [one for batch in batches for one in batch]


@pytest.mark.parametrize("task", TASKS)
def test_the_score_of_a_candidate_is_repeated_by_score(models_32, task):
    model = models_32[task]
    found = flat(sampler(model).batches(0.8, 3, [7, 70], noise_samples=2))
    assert [(one.row, one.k, one.seed) for one in found] == [
        (r, k, seed + k) for r, seed in enumerate((7, 70)) for k in range(3)
    ]
    for one in found:
        image, mask = asked(model)[one.row]
        own = one.score
        again = score(model, image, one.image, mask, noise_samples=2)
        assert again.log_likelihood == pytest.approx(own.log_likelihood, abs=1e-2)
        assert again.standard_error == pytest.approx(own.standard_error, rel=1e-2)
        assert (again.score_domain, again.scored_size) == (own.score_domain, own.scored_size)


@pytest.mark.parametrize("task", TASKS)
def test_a_seed_replays_a_candidate_to_the_byte(models_32, task):
    """At equal batch size."""
    model = models_32[task]
    [(image, mask)] = asked(model, 1)
    drawn = flat(Sampler(model, [Request.of(task_of(model), image, mask)]).batches(0.8, 3, [70]))
    alone = restore(model, image, 0.8, 3, seed=70, mask=mask, rank="none")
    for ours, theirs in zip(drawn, alone.ranked, strict=True):
        assert (ours.k, ours.seed, ours.score) == (theirs.k, theirs.seed, theirs.score)
        np.testing.assert_array_equal(ours.image, theirs.image)


@pytest.mark.parametrize("task", TASKS)
def test_batches_change_nothing_but_rounding(models_32, task):
    model = models_32[task]
    whole = {(one.row, one.k): one for one in flat(sampler(model).batches(0.7, 5, [1, 2]))}
    parts = list(sampler(model, 4).batches(0.7, 5, [1, 2]))
    assert [[(one.row, one.k) for one in batch] for batch in parts] == [
        [(0, 0), (0, 1), (1, 0), (1, 1)],
        [(0, 2), (0, 3), (1, 2), (1, 3)],
        [(0, 4), (1, 4)],
    ]
    for one in flat(parts):
        other = whole.pop((one.row, one.k))
        apart = np.abs(one.image.astype(int) - other.image)
        assert apart.max() <= 1
        assert (apart > 0).mean() <= 1e-3
        assert one.score.log_likelihood == pytest.approx(other.score.log_likelihood, abs=0.05)
    assert whole == {}


def test_a_batch_holds_as_many_as_fit_into_memory(models_32):
    model = models_32["superres"]
    assert sampler(model).at_a_time == 2**18 // 32**2 // 2
    assert sampler(model, 1).at_a_time == 1  # one of each request


@pytest.mark.parametrize("task", TASKS)
def test_a_released_candidate_has_its_image(models_32, task):
    (batch,) = sampler(models_32[task]).batches(0.7, 2, [1, 2])
    for one in batch:
        image = one.image.copy()
        one.release()
        np.testing.assert_array_equal(one.image, image)


@pytest.mark.parametrize("task", TASKS)
def test_a_condition_alone_is_enough_at_model_scale(models_32, task):
    """Where a picture is its condition's, both ways compose and score the same."""
    model = models_32[task]
    kind, (one, *_) = task_of(model), asked(model)
    known = Request.of(kind, *one)
    alone = Request.of_condition(kind, kind.condition(*one))
    ways = (Sampler(model, [request]) for request in (known, alone))
    ours, theirs = (flat(way.batches(0.8, 2, [3])) for way in ways)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        assert replace(one.score, parts=()) == other.score


def test_what_is_not_finite_is_left_out_unless_all_is_to_be_seen(models_32):
    model = models_32["superres"]
    requests = [Request.of(task_of(model), *one) for one in asked(model)]
    strict, lenient = (Sampler(model, requests, strict) for strict in (True, False))
    with np.errstate(invalid="ignore"):
        assert list(strict.batches(1e39, 1, [0, 0])) == [[]]
        assert len(next(lenient.batches(1e39, 1, [0, 0]))) == 2

    def no_score(_, own, target, *__):
        return torch.full((len(target),), nan), torch.full((1, len(target)), nan)

    model = helpers.double_of(model, log_prob_with_deviations=no_score)
    strict, lenient = (Sampler(model, requests, strict) for strict in (True, False))
    with pytest.raises(CaflowError, match="not finite"):
        strict.score(pictures(2))
    assert len(lenient.score(pictures(2))) == 2
