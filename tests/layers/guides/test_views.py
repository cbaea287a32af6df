"""The mean over a picture's orientations."""

import helpers
import pytest
import torch

from caflow_cli.layers import UNet
from caflow_cli.layers.guides import mean_of_views


def a_net():
    return helpers.randomise(helpers.seeded(lambda: UNet(2, (8, 6), 3), 1)).double()


def turned(x, quarters, mirrored):
    x = torch.rot90(x, quarters, (-2, -1))
    return x.flip(-1) if mirrored else x


@torch.no_grad()
def test_one_view_is_the_net():
    x = helpers.normal((2, 2, 16, 8), 2)
    net = a_net()
    assert torch.equal(mean_of_views(net, x, 1), net(x))


@torch.no_grad()
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_eight_views_turn_with_the_picture(quarters, mirrored):
    net, x = a_net(), helpers.normal((2, 2, 16, 8), 2)
    said = mean_of_views(net, x, 8)
    assert (net(turned(x, quarters, mirrored)) - turned(net(x), quarters, mirrored)).abs().max() > (
        1e-3 if quarters or mirrored else -1
    )
    of_turned = mean_of_views(net, turned(x, quarters, mirrored), 8)
    torch.testing.assert_close(of_turned, turned(said, quarters, mirrored))


@torch.no_grad()
@pytest.mark.parametrize(("views", "axes"), [(2, [[-1]]), (4, [[-1], [-2], [-2, -1]])])
def test_fewer_views_are_the_mirrored_ones(views, axes):
    net, x = a_net(), helpers.normal((1, 2, 16, 8), 2)
    wanted = (net(x) + sum(net(x.flip(a)).flip(a) for a in axes)) / views
    torch.testing.assert_close(mean_of_views(net, x, views), wanted)


def test_every_view_teaches_the_net():
    net, x = a_net(), helpers.normal((1, 2, 8, 8), 2)
    mean_of_views(net, x, 8).sum().backward()
    taught = net.head.weight.grad.clone()
    net.zero_grad()
    net(x).sum().backward()
    assert (taught - net.head.weight.grad).abs().max() > 1e-6


@torch.no_grad()
def test_a_picture_alone_is_told_the_same_as_in_a_batch():
    net = helpers.randomise(helpers.seeded(lambda: UNet(2, (64, 32), 3), 1)).eval()
    net.to(memory_format=torch.channels_last)
    x = helpers.normal((3, 2, 48, 80), 2).float().to(memory_format=torch.channels_last)
    together = mean_of_views(net, x, 8)
    assert together.is_contiguous(memory_format=torch.channels_last)
    for k in range(3):
        assert torch.equal(mean_of_views(net, x[k : k + 1], 8), together[k : k + 1])
