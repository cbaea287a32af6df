"""The guide for colours."""

import helpers
import pytest
import torch

from caflow_cli.layers import UNet


def a_net(widths=(8, 6, 4)):
    return helpers.randomise(helpers.seeded(lambda: UNet(2, widths, 3), 1))


def test_every_convolution_hears_of_the_loss():
    net = a_net().double()
    said = net(helpers.normal((2, 2, 16, 16), 2))
    assert said.shape == (2, 3, 16, 16)
    said.square().sum().backward()
    # A bias before a normalisation of one group is taken off again with the mean.
    for name, parameter in net.named_parameters():
        if not name.endswith(("first.bias", "second.bias")):
            assert float(parameter.grad.abs().max()) > 1e-9, name


def test_a_fresh_one_says_nothing():
    net = helpers.seeded(lambda: UNet(2, (8, 6), 3), 1)
    assert net(helpers.normal((1, 2, 8, 8), 2).float()).abs().max() == 0


@torch.no_grad()
@pytest.mark.parametrize("channels_last", [True, False])
def test_a_picture_alone_is_told_the_same_as_in_a_batch(channels_last):
    layout = torch.channels_last if channels_last else torch.contiguous_format
    net = a_net((64, 32, 32)).eval().to(memory_format=layout)
    x = helpers.normal((3, 2, 48, 80), 2).float().to(memory_format=layout)
    together = net(x)
    for k in range(3):
        assert torch.equal(net(x[k : k + 1]), together[k : k + 1])


@torch.no_grad()
def test_it_hears_of_what_no_convolution_reaches():
    net = a_net((4,)).double()
    x = helpers.normal((1, 2, 64, 64), 2)
    other = x.clone()
    other[..., -2:, -2:] += 3
    assert (net(x) - net(other))[..., :8, :8].abs().max() > 1e-6
