"""Affine couplings and injectors."""

import helpers
import pytest
import torch

from caflow_cli.layers import Coupling, Injector

BOUND = 1.5


def coupling(seed=1, shift=None):
    layer = helpers.seeded(lambda: Coupling(4, 6, BOUND, shift), seed)
    return helpers.randomize(layer, seed=seed + 1).double()


@torch.no_grad()
def test_a_fresh_one_is_the_identity_and_a_wild_one_stays_within_the_bound():
    layer, x = Coupling(4, 6, BOUND).double(), helpers.normal((1, 4, 3, 3), 1)
    y, logdet = layer(x, helpers.normal((1, 6, 3, 3), 2))
    assert torch.equal(y, x)
    assert not logdet.any()
    layer.net.last.bias += 1e6
    y, logdet = layer(x)
    assert y.isfinite().all()
    assert float(logdet) == pytest.approx(BOUND * 18)


@torch.no_grad()
def test_a_bounded_shift_limits_how_far_the_inverse_goes():
    layer = helpers.randomize(Coupling(4, 6, 0.5, 2.0), 1).double()
    x = 1e4 * helpers.normal((1, 4, 3, 3), 2)
    far, _ = layer.inverse(torch.cat([torch.zeros_like(x[:, :2]), x[:, 2:]], dim=1))
    assert far[:, :2].abs().max() <= 2 * 2.7183**0.5
    y, logdet = layer(x)
    back, logdet_back = layer.inverse(y)
    torch.testing.assert_close(back, x, rtol=1e-12, atol=0)
    torch.testing.assert_close(logdet_back, -logdet, rtol=0, atol=1e-12)


@pytest.mark.parametrize("hidden", [6, 0])
@torch.no_grad()
def test_every_value_is_scaled_and_shifted_by_what_is_read_of_the_condition(hidden):
    """With a net of its own, or given what one would say."""
    layer = helpers.seeded(lambda: Injector(4, hidden, BOUND), 1)
    layer = helpers.randomize(layer, seed=2).double()
    x, cond = helpers.normal((2, 4, 3, 5), 3), helpers.normal((2, hidden or 8, 3, 5), 4)
    y, logdet = layer(x, layer.read(cond))
    raw, b = (layer.net(None, cond) if hidden else cond).chunk(2, dim=1)
    s = BOUND * torch.tanh(raw / BOUND)
    assert s.std() > 0.1
    torch.testing.assert_close(y, s.exp() * x + b, rtol=0, atol=1e-12)
    torch.testing.assert_close(logdet, s.flatten(1).sum(1), rtol=0, atol=1e-12)
    back, logdet_back = layer.inverse(y, layer.read(cond))
    torch.testing.assert_close(back, x, rtol=0, atol=1e-12)
    torch.testing.assert_close(logdet_back, -logdet, rtol=0, atol=1e-12)


@torch.no_grad()
def test_the_net_runs_once_an_image_for_all_its_candidates():
    layer = helpers.randomize(helpers.seeded(lambda: Injector(4, 6, BOUND), 1), seed=2).double()
    seen = []
    layer.net.register_forward_hook(lambda module, args, output: seen.append(len(output)))
    x, cond = helpers.normal((6, 4, 3, 3), 3), helpers.normal((2, 6, 3, 3), 4)
    shared = layer(x, layer.read(cond))
    own = layer(x, layer.read(cond.repeat_interleave(3, dim=0)))
    assert seen == [2, 6]
    for a, b in zip(shared, own, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shift", [None, 0.7])
@pytest.mark.parametrize("candidates", [1, 2, 3])
def test_the_gradient_for_a_condition_is_the_sum_over_its_candidates(candidates, shift):
    layer = coupling(shift=shift)
    x = helpers.normal((2 * candidates, 4, 3, 3), 3)
    cond = helpers.normal((2, 6, 3, 3), 4).requires_grad_()
    own = cond.detach().repeat_interleave(candidates, dim=0).requires_grad_()
    for given in (cond, own):
        y, logdet = layer(x, given)
        (y.sin().sum() + logdet.square().sum()).backward()
    expected = own.grad.unflatten(0, (2, candidates)).sum(1)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(cond.grad, expected, rtol=0, atol=1e-12)
