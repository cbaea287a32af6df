"""Folding: a copy that computes the same of weights that no longer change."""

import helpers
import pytest
import torch
from torch import nn

from caflow_cli.layers import (
    ChannelAffine,
    ConvNet,
    FixedConv,
    FoldedAffine,
    fold,
    fold_children,
    nets_in_bf16,
)


@torch.no_grad()
def test_children_are_folded_in_a_copy_and_the_module_stays():
    net = helpers.randomise(helpers.seeded(lambda: ConvNet(2, 6, 4), 1), seed=2).double().train()
    x = helpers.normal((2, 2, 5, 4), 3)
    folded = fold(net)
    assert all(isinstance(m, FixedConv) for m in (folded.first, folded.second, folded.last))
    torch.testing.assert_close(folded(x), net(x), rtol=0, atol=1e-12)
    assert not folded.training
    assert net.training
    assert not list(folded.parameters())
    assert len(list(net.parameters())) == 6


def test_a_compiled_forward_is_not_taken_along():
    """It is bound to the module that it was made of."""
    module = nn.Sequential(nn.ReLU())
    module.forward = lambda x: x + 1
    x = helpers.normal((2, 3), 1)
    assert torch.equal(fold_children(module)(x), x.relu())


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@torch.no_grad()
def test_an_affine_map_becomes_one_of_fixed_weights(kind):
    layer = helpers.randomise(helpers.seeded(lambda: ChannelAffine(6), 1), seed=2).to(kind).eval()
    folded = fold(layer)
    assert isinstance(folded, FoldedAffine)
    x = helpers.normal((2, 6, 3, 4), 3, kind)
    torch.testing.assert_close(folded(x), layer(x), rtol=1e-5, atol=1e-5)
    assert not list(folded.parameters())


@torch.no_grad()
def test_nets_are_rounded_in_a_copy_and_affine_maps_are_not():
    net = helpers.randomise(helpers.seeded(lambda: ConvNet(2, 6, 4), 1), seed=2)
    affine = ChannelAffine(2)
    affine.actnorm.initialized.fill_(True)
    folded = fold(nn.ModuleList([net, affine, ConvNet(0, 6, 4)]))
    rough = nets_in_bf16(folded)
    x = helpers.normal((2, 2, 5, 4), 3).float()
    assert rough[0](x).dtype == torch.bfloat16
    torch.testing.assert_close(rough[0](x).float(), folded[0](x), rtol=0.05, atol=0.05)
    assert rough[1] is folded[1]
    assert rough[2].first is None
    assert folded[0](x).dtype == torch.float32
