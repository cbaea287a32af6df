"""Properties of every model, whatever its config and weights."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, strategies as st

from caflow_cli.flows import standard_normal_log_prob
from caflow_cli.layers import to_stored
from caflow_cli.restoration import restore, score, task_of
from caflow_cli.tasks.sizes import scaled_size

from .. import helpers
from .counts import examples
from .models import SEEDS, Example, examples_of_models, task_models

TAU = st.sampled_from([0.0, 0.5, 1.0, 1.2])


def prior(latents):
    return sum(standard_normal_log_prob(z) for z in latents)


def noise_of(example: Example, seed: int) -> torch.Tensor:
    return torch.rand(example.target.shape, generator=helpers.generator(seed), dtype=torch.float64)


def rounding(model, latents, cond, back: torch.Tensor) -> float:
    """How far decoded pixels move if latents change by a few units in the last place."""
    gen = helpers.generator(0)
    near = [z * (1 + 1e-14 * torch.rand(z.shape, generator=gen, dtype=z.dtype)) for z in latents]
    moved = float((model.decode(near, cond)[0] - back).abs().max())
    assume(moved < 1e-3)  # of a worse one float64 shows nothing
    return moved


@examples(6, 1000)
@given(examples_of_models(), TAU, SEEDS)
def test_images_and_samples_come_back(example, tau, seed):
    model, cond = example.model, example.cond
    point = example.target + noise_of(example, seed)
    latents, log_prob = model.encode(point, cond)
    back, log_prob_back = model.decode(latents, cond)
    atol = 1e-5 + rounding(model, latents, cond, back)
    torch.testing.assert_close(back, point, rtol=0, atol=atol)
    inner = ((point - example.target) > atol) & ((point - example.target) < 1 - atol)
    assert torch.equal(to_stored(back, 1)[inner], example.target[inner])
    torch.testing.assert_close(log_prob_back, log_prob, rtol=1e-7, atol=1e-5)
    draw = model.sample(cond, tau, 1, seed)[:, 0]
    assert bool(torch.isfinite(draw).all())
    z, _ = model.encode(draw.clamp(0, 255.999), cond)
    inside = ((draw > 0) & (draw < 255.999)).flatten(1).all(1)
    for found, shape in zip(z, model.latent_shapes(draw.shape[-2:]), strict=True):
        assert tuple(found.shape[1:]) == shape
    expected = [tau * n for n in model.latent_noise(seed, draw.shape[-2:])]
    for found, wanted in zip(z, expected, strict=True):
        for row in found[inside]:
            torch.testing.assert_close(row, wanted.double(), rtol=1e-4, atol=1e-4)


@examples(5, 1000)
@given(examples_of_models(most_scales=2, most_values=64), SEEDS)
def test_the_log_determinant_is_that_of_the_jacobian(example, seed):
    """log p(v|y) - log N(z) = log|det dz/dv|, by autograd; and log p(y) of the loss likewise."""
    model = example.model
    point, cond = (example.target + noise_of(example, seed))[:1], example.cond[:1]
    encoding = model.encode_condition(cond)
    with torch.enable_grad():
        jacobian = helpers.jacobian(lambda v: model.density(v, encoding)[0], point)
    _, expected = torch.linalg.slogdet(jacobian[0, :, 0])
    latents, log_prob = model.encode(point, encoding)
    assert float(log_prob - prior(latents)) == pytest.approx(float(expected), abs=1e-6, rel=1e-7)


@examples(3, 500)
@given(examples_of_models(most_values=1024), SEEDS)
def test_a_batch_scores_and_samples_as_its_images_do(example, seed):
    model, target, cond = example.model, example.target, example.cond
    together = model.log_prob(target, cond)
    alone = torch.cat([model.log_prob(t[None], c[None]) for t, c in zip(target, cond, strict=True)])
    torch.testing.assert_close(together, alone, rtol=1e-9, atol=1e-8)
    order = torch.tensor([2, 0, 1])
    torch.testing.assert_close(model.log_prob(target[order], cond[order]), together[order])
    draws = model.sample(cond, 0.7, 2, seed)
    for row, c in zip(draws, cond, strict=True):
        torch.testing.assert_close(row, model.sample(c[None], 0.7, 2, seed)[0])
        second = model.sample(c[None], 0.7, 1, seed + 1)
        torch.testing.assert_close(row[1], second[0, 0])


@examples(2, 500)
@given(examples_of_models(most_values=1024), SEEDS)
def test_the_folded_form_is_the_trained_one(example, seed):
    """Densities, samples, and again where weights have changed since."""
    model, cond = example.model, example.cond
    point = example.target + noise_of(example, seed)
    for _ in range(2):
        latents, folded = model.eval().encode(point, cond)
        back, _ = model.decode(latents, cond)
        model.train()
        trained = model(point, cond + 0.5)
        torch.testing.assert_close(folded, trained.log_prob.detach(), rtol=1e-9, atol=1e-7)
        with torch.enable_grad():
            condition, _ = model.density.condition(cond.double() + 0.5)
            unfolded, _ = model.density.inverse(latents, condition)
        atol = 1e-8 + rounding(model, latents, cond, back)
        torch.testing.assert_close(back, unfolded.detach(), rtol=1e-8, atol=atol)
        model.eval().encode(point, cond)  # folded with the weights that are about to change
        with torch.no_grad():
            for number, parameter in enumerate(model.parameters()):
                parameter.mul_(1 + 0.01 * (number % 3))


@examples(8, 500)
@given(
    task_models(),
    st.tuples(st.integers(1, 21), st.integers(1, 21)),
    TAU,
    SEEDS,
)
def test_images_of_any_size_are_restored_and_score_as_they_ranked(model, size, tau, seed):
    task = task_of(model)
    pixels = np.random.default_rng(seed)
    image = pixels.integers(0, 256, (*size, 3), dtype=np.uint8)
    mask = None
    if task.needs_mask:
        mask = np.where(pixels.random(size) < 0.3, 255, 0).astype(np.uint8)
        mask[-1, 0] = 255
    found = restore(model, image, tau, 3, keep=2, seed=seed, mask=mask)
    factor = model.config.task.factor if task.name == "superres" else 1
    drawn = (size[0] * factor, size[1] * factor)
    if task.name == "paired":
        drawn = scaled_size(image, model.config.task.size)
    scores = [candidate.score.rank_score for candidate in found.ranked]
    assert scores == sorted(scores, reverse=True)
    for candidate in found.kept:
        assert candidate.image.shape == (*drawn, 3)
        assert candidate.image.dtype == np.uint8
        if mask is not None:
            assert (candidate.image[mask < 128] == image[mask < 128]).all()
        assert candidate.score.log_likelihood is not None
        assert math.isfinite(candidate.score.log_likelihood)
        again = score(model, image, candidate.image, mask)
        assert again.log_likelihood == pytest.approx(candidate.score.log_likelihood, abs=1e-5)
