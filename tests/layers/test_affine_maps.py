"""The 1×1 convolution, its composition with actnorm, and folding."""

import helpers
import pytest
import torch
from torch import nn

from caflow_cli.layers import (
    ChannelAffine,
    ConvNet,
    FixedConv,
    FoldedAffine,
    InvConv1x1,
    affine_maps,
    fold,
    nets_in_bf16,
)


def invconv(channels, seed=1):
    return helpers.seeded(lambda: InvConv1x1(channels), seed)


def weight_of(layer):
    return InvConv1x1.weights([layer], torch.float64)[0]


@pytest.mark.parametrize("channels", [1, 2, 24, 192])
@torch.no_grad()
def test_a_weight_starts_as_a_random_rotation_and_is_always_inverted(channels):
    layer = invconv(channels)
    weight, eye = weight_of(layer), torch.eye(channels, dtype=torch.float64)
    torch.testing.assert_close(weight @ weight.T, eye, rtol=0, atol=1e-5)
    torch.testing.assert_close(layer.log_diag.sum(), torch.tensor(0.0), rtol=0, atol=1e-4)
    if channels > 1:
        assert not torch.allclose(weight, weight_of(invconv(channels, 2)), atol=0.1)
        assert (weight - torch.diag(weight.diagonal())).abs().max() > 0.05
    helpers.randomize(layer, seed=4, affine=0.1)
    weight, inverse = weight_of(layer), layer.inverse_weight()
    assert weight.dtype == inverse.dtype == torch.float64
    torch.testing.assert_close(weight @ inverse, eye, rtol=0, atol=1e-9)
    torch.testing.assert_close(inverse @ weight, eye, rtol=0, atol=1e-9)
    logdet = torch.linalg.slogdet(weight).logabsdet
    torch.testing.assert_close(layer.log_diag.double().sum(), logdet, rtol=0, atol=1e-9)


def test_only_the_lower_and_the_upper_triangle_train():
    layer = helpers.randomize(invconv(4), seed=5)
    weight_of(layer).square().sum().backward()
    assert not layer.lu.grad.diagonal().any()
    assert layer.log_diag.grad.all()
    assert set(dict(layer.named_parameters())) == {"lu", "log_diag"}


def test_composing_many_at_once_is_composing_each():
    """Values and gradients."""
    layers = [helpers.randomize(ChannelAffine(6), k) for k in range(3)]
    stack = torch.nn.ModuleList(layers).double()
    x = helpers.normal((2, 6, 3, 4), 9)

    def through(maps):
        y, logdet = x, 0.0
        for affine in maps:
            y, term = affine(y)
            logdet = logdet + term
        loss = y.square().sum() + logdet.sum()
        return y, logdet, torch.autograd.grad(loss, list(stack.parameters()))

    composed = through(affine_maps(layers, torch.float64))
    torch.testing.assert_close(composed, through(layers), rtol=1e-12, atol=1e-12)


@torch.no_grad()
def test_doubles_through_folded_floats_are_not_rounded():
    """Forward and back in float64, by weights of float32: nothing of float32 is left between."""
    layers = [helpers.randomize(ChannelAffine(48), k).eval() for k in range(2)]
    folded = FoldedAffine(layers)
    x = helpers.normal((2, 48, 3, 3), 9)
    y, _ = folded(x)
    torch.testing.assert_close(folded.inverse(y)[0], x, rtol=0, atol=1e-12)
    rough = folded(x.float())[0]
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, y, rtol=0, atol=1e-4, check_dtype=False)


@torch.no_grad()
def test_children_are_folded_in_a_copy_and_the_module_stays():
    net = helpers.randomize(helpers.seeded(lambda: ConvNet(2, 6, 4), 1), seed=2).double().train()
    x = helpers.normal((2, 2, 5, 4), 3)
    folded = fold(net)
    assert all(isinstance(m, FixedConv) for m in (folded.first, folded.second, folded.last))
    torch.testing.assert_close(folded(x), net(x), rtol=0, atol=1e-12)
    assert (folded.training, net.training) == (False, True)
    assert (len(list(folded.parameters())), len(list(net.parameters()))) == (0, 6)


@torch.no_grad()
def test_nets_are_rounded_in_a_copy_and_affine_maps_are_not():
    net = helpers.randomize(helpers.seeded(lambda: ConvNet(2, 6, 4), 1), seed=2)
    layer = helpers.randomize(ChannelAffine(2))
    folded = fold(nn.ModuleList([net, layer, ConvNet(0, 6, 4)]))
    rough = nets_in_bf16(folded)
    x = helpers.normal((2, 2, 5, 4), 3).float()
    assert rough[0](x).dtype == torch.bfloat16
    torch.testing.assert_close(rough[0](x).float(), folded[0](x), rtol=0.05, atol=0.05)
    assert rough[1] is folded[1]
    assert rough[2].first is None
    assert folded[0](x).dtype == torch.float32
