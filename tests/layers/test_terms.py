"""Functions that all layers share: float64 sums, bounded scales, the affine map, its gradient."""

import helpers
import pytest
import torch

from caflow_cli.layers.terms import (
    affine,
    affine_inverse,
    standard_normal_log_prob,
    sum_per_image,
)

BOUND = 1.5


def test_sums_do_not_lose_float32_terms():
    x = torch.full((2, 1, 1000, 1000), 0.1)
    expected = 1e6 * float(torch.tensor(0.1).double())
    assert sum_per_image(x)[0].item() == pytest.approx(expected, rel=1e-12)


# Channels of x, of which the first `half` are moved; images, and candidates of each.
shapes = pytest.mark.parametrize(
    ("channels", "half", "images", "candidates"), [(2, 2, 2, 1), (3, 1, 2, 1), (2, 1, 2, 3)]
)


def values(channels, half, images, candidates):
    x = helpers.normal((images * candidates, channels, 2, 1), 1)
    return x, helpers.normal((images, 2 * half, 2, 1), 2)


with_and_without_shift = pytest.mark.parametrize("shift", [None, 0.7])


@with_and_without_shift
@shapes
def test_an_affine_map_is_what_it_states_both_ways(channels, half, images, candidates, shift):
    x, net = values(channels, half, images, candidates)
    raw, b = (t.repeat_interleave(candidates, dim=0) for t in net.chunk(2, dim=1))
    s = BOUND * torch.tanh(raw / BOUND)
    if shift is not None:
        b = shift * torch.tanh(b / shift)
    expected = torch.cat([s.exp() * x[:, :half] + b, x[:, half:]], dim=1)
    for grad in (False, True):  # with a gradient it is a function of its own
        with torch.set_grad_enabled(grad):
            y, logdet = affine(x, net, BOUND, shift)
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(logdet, s.flatten(1).sum(1), rtol=0, atol=1e-12)
    back, logdet_back = affine_inverse(y, net, BOUND, shift)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-12)
    torch.testing.assert_close(logdet_back, -logdet, rtol=0, atol=1e-12)


@with_and_without_shift
@shapes
def test_the_written_out_gradient_is_that_of_differences(channels, half, images, candidates, shift):
    x, net = (t.requires_grad_() for t in values(channels, half, images, candidates))
    for function in (affine, affine_inverse):
        bounds = (BOUND, shift)
        assert torch.autograd.gradcheck(lambda x, net: function(x, net, *bounds), (x, net))  # noqa: B023


def test_the_prior_of_a_latent_is_a_standard_normal():
    z = helpers.normal((3, 2, 4, 4), 1)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).flatten(1).sum(1)
    torch.testing.assert_close(standard_normal_log_prob(z), expected, rtol=0, atol=1e-10)
    assert standard_normal_log_prob(z.float()).dtype == torch.float64
