"""The one path: a candidate is the same, and scores the same, whoever asks for it."""

import math
from pathlib import Path

import helpers
import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.data.examples import Examples
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.examples import make_example
from caflow_cli.restoration import Request, Sampler, Whole, restore, score, task_of, to_batch

TASKS = ["superres", "colorize", "inpaint", "paired"]


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 190, (height, width, 3), np.uint8)


def asked(model, count: int = 2):
    """Images as a user would have them, and their masks, of one size at model scale."""
    images = helpers.smooth_image(count, 3, 32, 5).permute(0, 2, 3, 1).contiguous().numpy()
    reader = Examples("all", None, list("pq")[:count], lambda row: [images[row]] * 2)
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
    found = flat(sampler(model).batches(0.8, range(3), [7, 70], noise_samples=2))
    assert [(one.row, one.k, one.seed) for one in found] == [
        (r, k, seed + k) for r, seed in enumerate((7, 70)) for k in range(3)
    ]
    for one in found:
        image, mask = asked(model)[one.row]
        again = score(model, image, one.image, mask, noise_samples=2)
        assert again.log_likelihood == pytest.approx(one.score.log_likelihood, abs=1e-2)
        assert again.standard_error == pytest.approx(one.score.standard_error, rel=1e-2)
        for name in ("score_domain", "scored_size", "parts"):
            assert getattr(again, name) == getattr(one.score, name)


@pytest.mark.parametrize("task", TASKS)
def test_batches_change_nothing_but_rounding(models_32, task):
    model = models_32[task]
    assert sampler(model).at_a_time == 2**18 // 32**2 // 2
    whole = {(one.row, one.k): one for one in flat(sampler(model).batches(0.7, range(5), [1, 2]))}
    parts = list(sampler(model, 4).batches(0.7, range(1, 5), [1, 2]))
    assert [[(one.row, one.k) for one in batch] for batch in parts] == [
        [(0, 1), (0, 2), (1, 1), (1, 2)],
        [(0, 3), (0, 4), (1, 3), (1, 4)],
    ]
    for one in flat(parts):
        other = whole[one.row, one.k]
        apart = np.abs(one.image.astype(int) - other.image)
        assert apart.max() <= 1
        assert (apart > 0).mean() <= 1e-3
        assert one.score.log_likelihood == pytest.approx(other.score.log_likelihood, abs=0.05)


@pytest.mark.parametrize("task", TASKS)
def test_a_condition_alone_is_enough_at_model_scale(models_32, task):
    """Where an image is its condition's, both ways compose and score the same."""
    model = models_32[task]
    kind = task_of(model)
    [(image, mask)] = asked(model, 1)
    request = Request.of(kind, image, mask)
    condition = request.parts[0].condition(image)
    whole = Whole(model, to_batch([condition]))
    drawn = whole.draw(0.8, [helpers.generator(3), helpers.generator(4)])
    composed = [kind.keep_known(condition, sample.image) for sample in drawn]
    scores = whole.log_prob(to_batch(composed))
    candidates = flat(Sampler(model, [request]).batches(0.8, range(2), [3]))
    for candidate, alone, part in zip(candidates, composed, scores, strict=True):
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


def test_what_is_not_finite_is_left_out(models_32):
    model = models_32["superres"]
    with np.errstate(invalid="ignore"):
        assert list(sampler(model).batches(1e39, range(1), [0, 0])) == [[]]

    def no_score(_, own, target, *__):
        return torch.full((1, len(target)), math.nan)

    plain = flat(sampler(model).batches(0.7, range(3), [7, 70]))

    def one_lost(_, own, *given):
        terms = own(*given)
        terms[:, 1] = math.inf
        return terms

    double = helpers.double_of(model, log_prob_samples=one_lost)
    kept = flat(sampler(double).batches(0.7, range(3), [7, 70]))
    assert [(one.row, one.k) for one in kept] == [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]
    for one, other in zip(kept, [plain[0], *plain[2:]], strict=True):
        assert one.score == other.score

    model = helpers.double_of(model, log_prob_samples=no_score)
    targets = [noise(32, 32)] * 2
    with pytest.raises(CaflowError, match="a log-likelihood is not finite"):
        sampler(model).score(targets)


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
