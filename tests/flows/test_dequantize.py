"""Pixels and the real line: noise, rounding, the logit."""

import math

import helpers
import pytest
import torch

from caflow_cli.flows import Logit, to_uint8
from caflow_cli.flows.dequantize import NOISE_LATTICE, lattice_noise
from caflow_cli.model import bits_per_dim


def test_noise_lies_on_the_lattice():
    noise = helpers.first_noise((3, 64, 64), 2)
    assert noise.dtype == torch.float32
    assert noise.shape == (2, 3, 64, 64)
    assert noise.min() >= 0
    assert noise.max() < 1
    assert NOISE_LATTICE == 2**16
    assert torch.equal((noise.double() * 2**16).floor(), noise.double() * 2**16)
    assert noise.mean() == pytest.approx(0.5, abs=0.01)
    assert noise.var() == pytest.approx(1 / 12, abs=0.002)


def test_pixel_plus_noise_is_exact_in_float32_and_stays_in_its_bin():
    w = torch.arange(256, dtype=torch.uint8)[:, None]
    u = torch.arange(2**16) / 2**16
    v = w.float() + u
    assert torch.equal(v.double(), w.double() + u.double())
    assert torch.equal(to_uint8(v), w.expand_as(v))


def test_first_draws_of_more_are_the_draws():
    four, two = helpers.first_noise((3, 8, 8), 4), helpers.first_noise((3, 8, 8), 2)
    assert torch.equal(four[:2], two)
    assert not torch.equal(four[0], four[1])


def test_fixed_noise_ignores_and_spares_the_global_generator():
    state = torch.get_rng_state()
    first = helpers.first_noise((1, 4, 4), 1)
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(5)
    assert torch.equal(first, helpers.first_noise((1, 4, 4), 1))


def test_the_noise_of_scores_is_pinned():
    """These digits are part of every published log-likelihood: they never change."""
    first = (helpers.first_noise((3, 4, 4), 1).flatten()[:4] * NOISE_LATTICE).int().tolist()
    assert first == [36288, 59689, 14411, 26231]
    other = lattice_noise((2,), helpers.generator(0)) * NOISE_LATTICE
    assert other.int().tolist() == [2732, 43567]


def test_to_uint8_floors_and_clamps():
    v = torch.tensor([-3.2, -0.01, 0.0, 0.99, 1.0, 254.999, 255.0, 255.99, 256.0, 300.0])
    assert to_uint8(v).tolist() == [0, 0, 0, 0, 1, 254, 255, 255, 255, 255]
    assert to_uint8(v).dtype == torch.uint8


@pytest.mark.parametrize("alpha", [0.05, 0.01, 1e-6, 0.3])
def test_logit_stays_finite_to_the_ends_of_the_range(alpha):
    logit = Logit(alpha)
    v = torch.tensor([0.0, 1e-3, 128.0, 255.5, 256 - 2**-16]).reshape(1, 1, 1, 5)
    h, logdet = logit(v)
    back, _ = logit.inverse(h)
    assert h.isfinite().all()
    assert logdet.isfinite().all()
    torch.testing.assert_close(back, v, rtol=0, atol=2e-4)


def test_logit_of_a_saturated_sample_has_a_finite_logdet():
    h = torch.tensor([-400.0, -30.0, 30.0, 400.0]).reshape(1, 1, 1, 4)
    v, logdet = Logit().inverse(h)
    assert v.isfinite().all()
    assert logdet.isfinite().all()
    expected = -860 - 4 * math.log(0.95 / 256)  # log p(1-p) is -|h| out there
    assert float(logdet) == pytest.approx(expected, abs=1e-3)
    assert to_uint8(v).flatten().tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.2, 0.5])
def test_a_logistic_base_has_the_bits_of_the_uniform_it_is(alpha):
    """A logistic h makes p uniform on (0, 1), so v has the density (1 - α) / 256 everywhere."""
    v = 256 * torch.rand((5, 3, 4, 4), generator=helpers.generator(1), dtype=torch.float64)
    h, logdet = Logit(alpha)(v)
    base = torch.distributions.TransformedDistribution(
        torch.distributions.Uniform(torch.zeros_like(h), torch.ones_like(h)),
        [torch.distributions.transforms.SigmoidTransform().inv],
    )
    bits = bits_per_dim(base.log_prob(h).flatten(1).sum(1) + logdet, 48)
    expected = torch.full_like(bits, 8 - math.log2(1 - alpha))
    torch.testing.assert_close(bits, expected, rtol=0, atol=1e-9)


@torch.no_grad()
def test_bits_do_not_depend_on_the_range_of_the_input():
    v = 256 * torch.rand((5, 3, 4, 4), generator=helpers.generator(2), dtype=torch.float64)
    h, logdet = Logit(0.05, 256.0)(v)
    h_unit, logdet_unit = Logit(0.05, 1.0)(v / 256)
    torch.testing.assert_close(h_unit, h, rtol=0, atol=1e-12)
    torch.testing.assert_close(logdet_unit - 48 * math.log(256), logdet, rtol=0, atol=1e-9)
