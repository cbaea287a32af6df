"""Variational dequantization: q is a density on the cube, and scores weigh by it."""

import copy
import math

import helpers
import pytest
import torch

from caflow_cli.flows import standard_normal_log_prob
from caflow_cli.model import standard_error


@pytest.fixture(scope="module")
def model():
    return helpers.data_like_model(helpers.small_config(dequantization="variational"), 5, 32)


def test_terms_are_log_p_minus_log_q(model):
    """q as the density of u, which `test_q_integrates_to_one_over_the_cube` integrates."""
    wide = copy.deepcopy(model).double()
    target, cond = helpers.image_pair(wide, 2, 32)
    terms = wide.log_prob_samples(target, cond, 3)
    for k, noise in enumerate(helpers.first_noise((3, 32, 32), 3, normal=True)):
        noise = noise.double().expand(2, -1, -1, -1)
        w = target.double()
        with torch.no_grad():
            u, _ = wide.Q(noise, w)
            back, logdet = wide.Q.inverse(u, w)
        torch.testing.assert_close(back, noise, rtol=0, atol=1e-7)
        log_q = standard_normal_log_prob(back) + logdet
        _, log_p = wide.encode(w + u, cond)
        torch.testing.assert_close(terms[k], log_p - log_q, rtol=0, atol=1e-7)


def test_a_score_is_the_importance_weighted_bound_and_rises_with_k(model):
    target, cond = helpers.image_pair(model, 2, 16)
    terms = model.log_prob_samples(target, cond, 8)
    assert not torch.equal(terms[0], terms[1])
    for k in (1, 4, 8):
        expected = terms[:k].logsumexp(0) - math.log(k)
        torch.testing.assert_close(model.log_prob(target, cond, k), expected, rtol=0, atol=1e-6)
    # Never below the mean of the single terms (Jensen), and above it as they differ.
    assert (model.log_prob(target, cond, 8) > terms.mean(0)).all()
    _, deviations = model.estimate(terms)
    assert (standard_error(deviations) > 0).all()


def test_the_standard_error_is_that_of_the_mean_of_the_weights(model):
    """By the delta method: the relative standard error of the mean of p/q."""
    target, cond = helpers.image_pair(model, 2, 16)
    terms = model.log_prob_samples(target, cond, 5)
    weights = (terms - terms.amax(0)).exp()
    expected = weights.std(0) / weights.mean(0) / math.sqrt(5)
    assert float(expected.min()) > 0.1
    _, deviations = model.estimate(terms)
    torch.testing.assert_close(standard_error(deviations), expected, rtol=1e-6, atol=0)


def test_the_loss_is_the_term_of_its_noise_and_reaches_q(model):
    target, cond = helpers.image_pair(model, 2, 32)
    noise = helpers.first_noise((3, 32, 32), 1, normal=True).expand(2, -1, -1, -1)
    terms = model(target.float(), cond.float() + 0.5, noise)
    expected = model.log_prob_samples(target, cond, 1)[0]
    torch.testing.assert_close(terms.log_prob.detach(), expected, rtol=0, atol=1e-2)
    terms.log_prob.sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.Q.parameters())
    model.zero_grad()
