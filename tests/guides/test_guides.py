"""Guides and the net of a spread: what they read, in parts of an image and turned."""

import helpers
import pytest
import torch

from caflow_cli.guides import (
    Enlarge,
    ScaleNet,
    UNet,
    mean_of_views,
)
from caflow_cli.guides.resunet import ResUNet
from caflow_cli.layers.norms import Moments, group_norm

NETS = {
    "unet": lambda: UNet(2, (8, 6, 4), 3),
    "resunet": lambda: ResUNet(2, (8, 6, 4), 3),
    "enlarge": lambda: Enlarge(2, 6, 2, 4, 3),
    "context": lambda: Enlarge(2, 6, 3, 4, 3, (5, 4)),
    "spread": lambda: ScaleNet(2, 8, 3),
}
nets = pytest.mark.parametrize("name", NETS)


def fresh(name):
    return helpers.seeded(NETS[name], 1)


def unet(widths=(8, 6)):
    return helpers.randomize(helpers.seeded(lambda: UNet(2, widths, 3), 1))


@nets
def test_a_fresh_net_predicts_0_and_every_convolution_learns(name):
    x = helpers.normal((2, 2, 16, 16), 2)
    net = fresh(name).double()
    assert torch.equal(net(x), torch.zeros(2, 3, 16, 16, dtype=torch.float64))
    helpers.randomize(net)
    net(x).square().sum().backward()
    for parameter_name, parameter in net.named_parameters():
        # A bias before a normalization of one group is taken off again with the mean.
        if name != "unet" or not parameter_name.endswith(("first.bias", "second.bias")):
            assert float(parameter.grad.abs().max()) > 1e-9, parameter_name


def reach(net, x):
    """Rows of the output that change with the input's pixel at row 32."""
    changed = x.clone()
    changed[..., 32, 32] += 1
    return (net(changed) - net(x)).abs().sum((0, 1, 3)).nonzero().flatten()


@torch.no_grad()
def test_fields_of_view():
    x = helpers.normal((1, 2, 64, 64), 2)
    rows = reach(helpers.randomize(fresh("spread"), 2).double(), x)
    assert (int(rows.min()), int(rows.max())) == (26, 39)
    net = helpers.randomize(helpers.seeded(lambda: Enlarge(2, 6, 1, 4, 3), 1), 3).double()
    rows, cells = reach(net, x), 4 * 4 + 4 + 2 + 1  # 4 cells of 4 pixels, and the doublings
    assert 32 - cells - 4 <= int(rows.min()) < 32 < int(rows.max()) <= 32 + cells + 4
    assert int(rows.max()) - int(rows.min()) > 16
    assert len(reach(helpers.randomize(fresh("context"), 3).double(), x)) == 64
    far = unet((4,)).double()
    assert len(reach(far, x)) == 64  # by its normalization, what no convolution reaches
    net = helpers.randomize(helpers.seeded(lambda: ResUNet(2, (4,), 3), 1), 3).double()
    rows = reach(net, x)  # 6 convolutions at half the resolution
    assert (int(rows.min()), int(rows.max())) == (32 - 12, 33 + 12)


@torch.no_grad()
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("views", [1, 8])
def test_an_image_alone_is_read_as_in_a_batch(layout, views):
    net = unet((64, 32)).eval().to(memory_format=layout)
    x = helpers.normal((3, 2, 48, 80), 2).float().to(memory_format=layout)
    together = mean_of_views(net, x, views)
    for k in range(3):
        assert torch.equal(mean_of_views(net, x[k : k + 1], views), together[k : k + 1])


def turned(x, quarters, mirrored):
    x = torch.rot90(x, quarters, (-2, -1))
    return x.flip(-1) if mirrored else x


@torch.no_grad()
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_eight_views_turn_with_the_image(quarters, mirrored):
    net, x = unet().double(), helpers.normal((2, 2, 16, 8), 2)
    other = turned(x, quarters, mirrored)
    apart = (net(other) - turned(net(x), quarters, mirrored)).abs().max()
    assert apart > (1e-3 if quarters or mirrored else -1)
    expected = turned(mean_of_views(net, x, 8), quarters, mirrored)
    torch.testing.assert_close(mean_of_views(net, other, 8), expected)


@torch.no_grad()
@pytest.mark.parametrize(("views", "axes"), [(2, [[-1]]), (4, [[-1], [-2], [-2, -1]])])
def test_fewer_views_are_the_mirrored_ones(views, axes):
    net, x = unet().double(), helpers.normal((1, 2, 16, 8), 2)
    wanted = (net(x) + sum(net(x.flip(a)).flip(a) for a in axes)) / views
    torch.testing.assert_close(mean_of_views(net, x, views), wanted)


@pytest.mark.parametrize(("channels", "groups"), [(64, 8), (24, 2), (12, 1), (5, 1), (2, 1)])
@pytest.mark.parametrize("training", [True, False])
def test_group_norm_is_of_an_image_and_a_group(channels, groups, training):
    h = 3 * helpers.normal((2, channels, 4, 6), 1) + 5
    y = group_norm(h, training).reshape(2, groups, -1)
    assert y.dtype == torch.float64
    own = h.reshape(2, groups, -1)
    wanted = (own - own.mean(2, keepdim=True)) / own.std(2, correction=0, keepdim=True)
    torch.testing.assert_close(y, wanted, rtol=1e-5, atol=1e-8)


@torch.no_grad()
def test_parts_agree_where_they_overlap():
    net = helpers.randomize(helpers.seeded(lambda: UNet(2, (8, 6), 3), 1)).double().eval()
    x = helpers.normal((1, 2, 32, 192), 2)
    x[..., 96:] *= 5
    parts = [x[..., :128], x[..., 64:]]
    moments = Moments()
    with moments.of_pass():
        net(torch.cat([x[..., at : at + 32] for at in (0, 80, 160)]))

    def apart():
        left, right = (net(part) for part in parts)
        return float((left[..., 92:100] - right[..., 28:36]).abs().max())

    assert apart() > 0.1
    found = []
    for part in parts:
        with moments.of_pass():
            found.append(net(part))
    left, right = found
    # 28 pixels from the borders: each sees less far.
    torch.testing.assert_close(left[..., 92:100], right[..., 28:36], rtol=1e-9, atol=1e-12)
