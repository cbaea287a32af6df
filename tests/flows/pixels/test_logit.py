"""The logit of pixels."""

import math

import helpers
import pytest
import torch

from caflow_cli.flows import Logit, to_uint8
from caflow_cli.model import bits_per_dim


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
