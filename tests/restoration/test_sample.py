"""The one path: a candidate is the same, and scores the same, whoever asks for it."""

import math
from dataclasses import replace
from pathlib import Path

import helpers
import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.config import Temperature
from caflow_cli.data.examples import Examples
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.examples import make_example
from caflow_cli.restoration import (
    Candidate,
    Candidates,
    Request,
    Whole,
    draw,
    encode,
    prepare,
    restore,
    score,
    score_images,
    task_of,
    to_batch,
)
from caflow_cli.sampling import Sampling
from caflow_cli.tasks.arguments import as_input

TASKS = ["superres", "colorize", "inpaint", "paired"]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 190, (height, width, 3), np.uint8)


def asked(model, count: int = 2):
    """Images as a user would have them, and their masks, of one size at model scale."""
    images = helpers.smooth_image(count, 3, 32, 5).permute(0, 2, 3, 1).contiguous().numpy()
    reader = Examples("all", None, list("pq")[:count], lambda row: [images[row]] * 2)
    examples = [make_example(task_of(model), reader, row) for row in range(count)]
    return [(example.input, example.mask) for example in examples]


def requests_for(model, tau=0.7, m=3, seeds=(7, 70), **more) -> list[Request]:
    requests = []
    for (image, mask), seed in zip(asked(model, len(seeds)), seeds, strict=True):
        request = prepare(model, as_input(image), mask, Sampling(tau, m, seed=seed))
        requests.append(replace(request, **more))
    return requests


def candidates_of(requests: list[Request]) -> list[Candidate]:
    *_, found = draw([Candidates(request) for request in requests], encode(requests))
    return [candidate for each in found for candidate in each.drawn]


@pytest.mark.parametrize("task", TASKS)
def test_the_score_of_a_candidate_is_repeated_by_score(models_32, task):
    model = models_32[task]
    found = candidates_of(requests_for(model, 0.8, noise_samples=2))
    assert [(one.k, one.seed) for one in found] == [
        (k, seed + k) for seed in (7, 70) for k in range(3)
    ]
    for index, one in enumerate(found):
        image, mask = asked(model)[index // 3]
        again = score(model, image, one.image, mask, noise_samples=2)
        assert again.log_likelihood == pytest.approx(one.score.log_likelihood, abs=1e-2)
        assert again.standard_error == pytest.approx(one.score.standard_error, rel=1e-2)
        for name in ("score_domain", "scored_size", "parts"):
            assert getattr(again, name) == getattr(one.score, name)


@pytest.mark.parametrize("task", TASKS)
def test_batches_change_nothing_but_rounding(models_32, task):
    model = models_32[task]
    requests = requests_for(model, 0.7, 5, (1, 2))
    ((first, second),) = draw([Candidates(request) for request in requests], encode(requests))
    *_, begun = draw([Candidates(request) for request in requests], encode(requests), 1)
    parts = list(draw(begun, encode(requests), 4, batch_size=4))
    assert [[[one.k for one in each.drawn] for each in found] for found in parts] == [
        [[0, 1, 2], [0, 1, 2]],
        [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4]],
    ]
    alike = [*parts[1][0].drawn, *parts[1][1].drawn]
    for one, other in zip(alike, [*first.drawn, *second.drawn], strict=True):
        apart = np.abs(one.image.astype(int) - other.image)
        assert apart.max() <= 1
        assert (apart > 0).mean() <= 1e-3
        assert one.score.log_likelihood == pytest.approx(other.score.log_likelihood, abs=0.05)


@pytest.mark.parametrize("task", TASKS)
def test_a_condition_alone_is_enough_at_model_scale(models_32, task):
    """Where an image is its condition's, both ways compose and score the same."""
    model = models_32[task]
    kind = task_of(model)
    (request,) = requests_for(model, 0.8, 2, (3,))
    condition = request.parts[0].condition(request.image)
    whole = Whole(model, to_batch([condition]))
    drawn = whole.draw(Temperature.of(0.8), [helpers.generator(3), helpers.generator(4)])
    composed = [kind.keep_known(condition, sample.image) for sample in drawn]
    scores = whole.log_prob(to_batch(composed))
    for candidate, alone, part in zip(candidates_of([request]), composed, scores, strict=True):
        np.testing.assert_array_equal(candidate.image, alone)
        assert candidate.score.rank_score == part.value


def test_known_pixels_of_a_lossless_target_are_those_of_the_image(models_32, tmp_path):
    model, path = models_32["inpaint"], tmp_path / "a.jpg"
    [(image, mask)] = asked(model, 1)
    known = mask < 128
    found = score(model, image, image, mask)
    assert (found.known_values, found.unknown_values) == (3 * known.sum(), 3 * (~known).sum())
    assert score(models_32["paired"], image, image).known_values is None
    other = image.copy()
    other[tuple(np.argwhere(known)[[0, -1]].T)] ^= 1
    with pytest.raises(CaflowError, match="2 known pixels differ between image and target"):
        score(model, image, other, mask)
    Image.fromarray(other).save(path)  # of a JPEG that is no news
    assert score(model, image, path, mask).log_likelihood != found.log_likelihood


def test_what_is_not_finite_is_the_guides_prediction():
    model = helpers.guided_model()
    assert all(one.predicted for one in candidates_of(requests_for(model, 1e39, 1, (0, 0))))

    def no_score(_, own, target, *__):
        return torch.full((1, len(target)), math.nan)

    plain = candidates_of(requests_for(model))

    def one_lost(_, own, *given):
        terms = own(*given)
        terms[:, 1] = math.inf
        return terms

    double = helpers.double_of(model, log_prob_samples=one_lost)
    kept = candidates_of(requests_for(double))
    for one, other in zip(kept, plain, strict=True):
        assert one.seed == other.seed
        if one.seed == 8:
            assert one.predicted == [(0, 0, 32, 32)]
            assert one.score.rank_score is None
        else:
            assert one.score == other.score

    model = helpers.double_of(model, log_prob_samples=no_score)
    targets = [noise(32, 32)] * 2
    requests = requests_for(model)
    with pytest.raises(CaflowError, match="a log-likelihood is not finite"):
        score_images(requests, encode(requests), targets)


def test_a_score_is_the_likelihood_of_the_reduced_pair(small_model):
    image, target = noise(8, 9), noise(32, 36, 1)
    found = score(small_model, image, target)
    cond, reduced = (to_batch([side]) for side in task_of(small_model).reduce(image, target))
    nats = float(small_model.log_prob(reduced, cond))
    assert found.log_likelihood == found.rank_score == nats
    assert found.standard_error is None
    assert found.bits_per_dim == pytest.approx(-nats / (3 * 32 * 48 * math.log(2)))
    assert (found.score_domain, found.scored_size) == ("reduced", (48, 32))
    assert found.summary == f"{nats:.1f} nats, {found.bits_per_dim:.3f} bits/dim"


@pytest.mark.parametrize("name", ["photos-superres-x4", Path("mine.safetensors")])
def test_a_name_in_the_place_of_a_model_is_answered_by_how_to_load_it(name):
    image = noise(8, 8)
    for work in (lambda: restore(name, image), lambda: score(name, image, image)):
        with pytest.raises(CaflowError, match="not a loaded model") as caught:
            work()
        assert caught.value.hint == f"model = caflow_cli.load({str(name)!r})"
        assert caught.value.exit_code == 2
