"""The networks inside couplings and injectors, and guides over whole conditions."""

import helpers
import pytest
import torch
import torch.nn.functional as F

from caflow_cli.layers import Conv, ConvNet, Trunk
from caflow_cli.layers.nets import Residual


@torch.no_grad()
def test_features_are_a_first_layer_over_the_concatenation():
    """Two convolutions, one of x and one of the condition, are one convolution of both."""
    net = helpers.randomize(ConvNet(2, 6, 4)).double()
    embed = helpers.randomize(Conv(3, 6, 3, bias=False)).double()
    x, cond = helpers.normal((2, 2, 5, 4), 1), helpers.normal((2, 3, 5, 4), 2)
    weight = torch.cat([net.first.weight, embed.weight], dim=1)
    hidden = F.conv2d(torch.cat([x, cond], 1), weight, net.first.bias, padding=1)
    expected = net.last(net.second(hidden.relu()).relu())
    torch.testing.assert_close(net(x, embed(cond)), expected, rtol=0, atol=1e-12)


def test_bfloat16_is_for_training_alone():
    """Also where gradients are enabled, and without the folded form."""
    conv = helpers.randomize(Conv(2, 6, 3))
    net = helpers.randomize(ConvNet(2, 6, 4))
    x = helpers.normal((2, 2, 5, 4), 1, torch.float32)
    for module in (conv, net):
        exact = module.eval()(x)
        for child in module.modules():
            child.bf16 = True
        assert torch.equal(module(x), exact)
        assert module.train()(x).dtype == torch.bfloat16


@torch.no_grad()
def test_a_fresh_trunk_hands_the_condition_on():
    """Neither drowned by the residual branch nor blown up by the head."""
    trunk = helpers.seeded(lambda: Trunk(32, 3, 48, 8), 1).double()
    h = helpers.normal((4, 32, 8, 8), 2)
    for block in trunk.blocks:
        assert 0.01 < float((block(h) - h).std()) < 0.3
    features, injections = trunk(h)
    assert 0.5 < float(features.std()) < 2
    assert injections.abs().max() == 0


@torch.no_grad()
def test_a_normalized_trunk_reads_no_magnitude():
    """However large an unusual condition is, the heads read what they read in training."""
    trunk = helpers.seeded(lambda: Trunk(32, 3, 48, 8, norm=True), 1).double()
    helpers.randomize(trunk.injections)
    h = helpers.normal((4, 32, 8, 8), 2)
    features, injections = trunk(h)
    assert 0.5 < float(features.std()) < 2
    for factor in (10, 1e4):
        for large, usual in zip(trunk(factor * h), (features, injections), strict=True):
            assert large.abs().max() < 2 * usual.abs().max()


@torch.no_grad()
@pytest.mark.parametrize(("coarse", "reach"), [(False, 1), (True, 3)])
def test_a_block_at_half_resolution_reads_twice_as_far(coarse, reach):
    block = helpers.randomize(helpers.seeded(lambda: Residual(3, coarse=coarse), 1)).double()
    h = helpers.normal((1, 3, 11, 12), 1)  # an odd side, which halving does not divide
    changed = h.clone()
    changed[..., 5, 6] += 1
    difference = (block(changed) - block(h)).abs().sum((0, 1))
    rows, columns = difference.nonzero().T
    assert block(h).shape == h.shape
    # Of a coarse pixel's neighbors, the farther one ends 3 pixels away, the nearer one 2.
    for found, at in ((rows, 5), (columns, 6)):
        assert max(at - int(found.min()), int(found.max()) - at) == reach
