"""Affine coupling: one half moves by what is read of the other."""

import helpers
import pytest
import torch

from caflow_cli.layers import Coupling

BOUND = 1.5


def coupling(seed=1):
    layer = helpers.seeded(lambda: Coupling(4, 6, BOUND), seed)
    return helpers.randomise(layer, seed=seed + 1).double()


@torch.no_grad()
def test_a_fresh_one_is_the_identity():
    x, features = helpers.normal((2, 4, 3, 3), 1), helpers.normal((2, 6, 3, 3), 2)
    y, logdet = Coupling(4, 6, BOUND).double()(x, features)
    assert torch.equal(y, x)
    assert not logdet.any()


@pytest.mark.parametrize("conditional", [False, True])
@torch.no_grad()
def test_the_first_half_is_scaled_and_shifted_by_what_is_read_of_the_second(conditional):
    layer = coupling()
    x = helpers.normal((2, 4, 3, 5), 3)
    cond = helpers.normal((2, 6, 3, 5), 4) if conditional else None
    y, logdet = layer(x, cond)
    raw, b = layer.net(x[:, 2:], cond).chunk(2, dim=1)
    s = BOUND * torch.tanh(raw / BOUND)
    assert s.std() > 0.1
    torch.testing.assert_close(y[:, :2], s.exp() * x[:, :2] + b, rtol=0, atol=1e-12)
    assert torch.equal(y[:, 2:], x[:, 2:])
    torch.testing.assert_close(logdet, s.flatten(1).sum(1), rtol=0, atol=1e-12)
    back, logdet_back = layer.inverse(y, cond)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-12)
    torch.testing.assert_close(logdet_back, -logdet, rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_wild_net_stays_within_the_bound():
    layer = Coupling(4, 6, BOUND).double()
    layer.net.last.bias += 1e6
    x = helpers.normal((1, 4, 3, 3), 1)
    y, logdet = layer(x)
    assert y.isfinite().all()
    assert float(logdet) == pytest.approx(BOUND * 18)


@torch.no_grad()
def test_the_condition_of_an_image_serves_all_its_candidates():
    layer = coupling()
    x, cond = helpers.normal((6, 4, 3, 3), 3), helpers.normal((2, 6, 3, 3), 4)
    each = cond.repeat_interleave(3, dim=0)
    for shared, own in zip(layer(x, cond), layer(x, each), strict=True):
        torch.testing.assert_close(shared, own, rtol=0, atol=1e-12)
