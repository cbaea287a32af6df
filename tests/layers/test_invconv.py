"""The 1×1 convolution: a rotation at the start, LU all the way, solved in float64."""

import helpers
import pytest
import torch

from caflow_cli.layers import InvConv1x1

sizes = pytest.mark.parametrize("channels", [1, 2, 6, 24, 192])


def invconv(channels, seed=1):
    return helpers.seeded(lambda: InvConv1x1(channels), seed)


@sizes
@torch.no_grad()
def test_starts_as_a_random_rotation(channels):
    weight = invconv(channels).weight()
    eye = torch.eye(channels, dtype=torch.float64)
    torch.testing.assert_close(weight @ weight.T, eye, rtol=0, atol=1e-5)
    if channels > 1:
        assert not torch.allclose(weight, invconv(channels, 2).weight(), atol=0.1)
        assert (weight - torch.diag(weight.diagonal())).abs().max() > 0.05
    x = helpers.normal((2, channels, 3, 3), 3)
    y, logdet = invconv(channels).double()(x)
    torch.testing.assert_close(y.square().sum(1), x.square().sum(1), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(logdet, torch.zeros_like(logdet), rtol=0, atol=1e-4)


@sizes
@torch.no_grad()
def test_inverse_weight_and_determinant(channels):
    layer = helpers.randomise(invconv(channels), seed=4, affine=0.1)
    weight, inverse = layer.weight(), layer.inverse_weight()
    assert weight.dtype == inverse.dtype == torch.float64
    eye = torch.eye(channels, dtype=torch.float64)
    torch.testing.assert_close(weight @ inverse, eye, rtol=0, atol=1e-9)
    torch.testing.assert_close(inverse @ weight, eye, rtol=0, atol=1e-9)
    x = torch.zeros(2, channels, 3, 5)
    expected = (15 * torch.linalg.slogdet(weight).logabsdet).expand(2)
    torch.testing.assert_close(layer(x)[1], expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(layer.inverse(x)[1], -expected, rtol=0, atol=1e-9)


@torch.no_grad()
def test_weight_mixes_channels_at_every_pixel():
    layer = helpers.randomise(invconv(4), seed=5).double()
    x = helpers.normal((2, 4, 3, 2), 6)
    expected = torch.einsum("ij,bjhw->bihw", layer.weight(), x)
    torch.testing.assert_close(layer(x)[0], expected, rtol=0, atol=1e-12)


def test_only_the_lower_and_the_upper_triangle_train():
    layer = helpers.randomise(invconv(4), seed=5)
    layer.weight().square().sum().backward()
    assert not layer.lu.grad.diagonal().any()
    assert layer.log_diag.grad.all()
    assert set(dict(layer.named_parameters())) == {"lu", "log_diag"}
