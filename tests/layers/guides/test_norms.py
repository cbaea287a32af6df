"""Normalisation over a picture, and over all of one that is read in parts."""

import helpers
import pytest
import torch

from caflow_cli.layers import UNet
from caflow_cli.layers.guides.norms import Moments, group_norm


@pytest.mark.parametrize(("channels", "groups"), [(64, 8), (24, 2), (12, 1), (5, 1), (2, 1)])
@pytest.mark.parametrize("training", [True, False])
def test_group_norm_is_of_a_picture_and_a_group(channels, groups, training):
    h = 3 * helpers.normal((2, channels, 4, 6), 1) + 5
    y = group_norm(h, training).reshape(2, groups, -1)
    assert y.dtype == torch.float64
    own = h.reshape(2, groups, -1)
    wanted = (own - own.mean(2, keepdim=True)) / own.std(2, correction=0, keepdim=True)
    torch.testing.assert_close(y, wanted, rtol=1e-5, atol=1e-8)


@torch.no_grad()
def test_moments_of_the_picture_itself_change_nothing():
    net = helpers.randomise(helpers.seeded(lambda: UNet(2, (8, 6, 4), 3), 1)).double().eval()
    x, moments = helpers.normal((1, 2, 32, 48), 2), Moments()
    alone = net(x)
    with moments.recorded():
        torch.testing.assert_close(net(x), alone, rtol=1e-9, atol=1e-12)
    for _ in range(2):
        with moments.used():
            torch.testing.assert_close(net(x), alone, rtol=1e-9, atol=1e-12)
    assert torch.equal(net(x), alone)


@torch.no_grad()
def test_parts_agree_where_they_overlap():
    net = helpers.randomise(helpers.seeded(lambda: UNet(2, (8, 6), 3), 1)).double().eval()
    x = helpers.normal((1, 2, 32, 192), 2)
    x[..., 96:] *= 5
    parts = [x[..., :128], x[..., 64:]]
    moments = Moments()
    with moments.recorded():
        net(torch.cat([x[..., at : at + 32] for at in (0, 80, 160)]))

    def apart():
        left, right = (net(part) for part in parts)
        return float((left[..., 92:100] - right[..., 28:36]).abs().max())

    assert apart() > 0.1
    found = []
    for part in parts:
        with moments.used():
            found.append(net(part))
    left, right = found
    # 28 pixels from the borders: each sees less far.
    torch.testing.assert_close(left[..., 92:100], right[..., 28:36], rtol=1e-9, atol=1e-12)
