"""Nets, squeeze, bounds and the sharing of one condition among candidates."""

import helpers
import pytest
import torch
import torch.nn.functional as F

from caflow_cli.flows import ConditionalScale
from caflow_cli.layers import Conv, ConvNet, Coupling, Guide, Injector, Squeeze, Trunk
from caflow_cli.layers.nets import Residual
from caflow_cli.layers.terms import bounded, per_candidate, sum_per_image


@torch.no_grad()
def test_fresh_nets_make_couplings_and_injectors_the_identity():
    x, features = helpers.normal((2, 4, 3, 3), 1), helpers.normal((2, 6, 3, 3), 2)
    for layer in (Coupling(4, 6, 2.0).double(), Injector(4, 6, 2.0).double()):
        y, logdet = layer(x, features)
        assert torch.equal(y, x)
        assert not logdet.any()


@torch.no_grad()
def test_features_are_a_first_layer_over_the_concatenation():
    """Two convolutions, one of x and one of the condition, are one convolution of both."""
    net = helpers.randomise(ConvNet(2, 6, 4)).double()
    embed = helpers.randomise(Conv(3, 6, 3, bias=False)).double()
    x, cond = helpers.normal((2, 2, 5, 4), 1), helpers.normal((2, 3, 5, 4), 2)
    weight = torch.cat([net.first.weight, embed.weight], dim=1)
    hidden = F.conv2d(torch.cat([x, cond], 1), weight, net.first.bias, padding=1)
    expected = net.last(net.second(hidden.relu()).relu())
    torch.testing.assert_close(net(x, embed(cond)), expected, rtol=0, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("trunk", [0, 7])
def test_every_step_reads_its_own_features(trunk):
    """The condition of a scale is embedded at once: each net gets a part that no other one gets."""
    scale = helpers.randomise(ConditionalScale(8, 3, 2, 3, 5, 2.0, trunk)).double()
    cond = helpers.normal((2, 3, 4, 4), 1), helpers.normal((2, 2, 4, 4), 2)
    parts = [part for pair in scale._features(cond) for part in pair]
    injection = 16 if trunk else 5  # with a trunk, scale and bias of 8 channels
    assert [part.shape[1] for part in parts] == [injection, 5] * 3
    assert len({round(float(part.sum()), 9) for part in parts}) == 6


@torch.no_grad()
def test_log_scales_are_bounded_and_start_as_the_identity():
    raw = torch.linspace(-100, 100, 2001, dtype=torch.float64)
    assert bounded(raw, 2.0).abs().max() <= 2
    small = torch.tensor([-0.01, 0.01], dtype=torch.float64)
    torch.testing.assert_close(bounded(small, 2.0), small, rtol=0, atol=1e-6)

    layer = Coupling(4, 6, 1.5).double()
    layer.net.last.bias += 1e6
    x = helpers.normal((1, 4, 3, 3), 1)
    y, logdet = layer(x)
    assert y.isfinite().all()
    assert float(logdet) == pytest.approx(1.5 * 18)


def test_squeeze_keeps_every_value_and_its_neighbourhood():
    x = torch.arange(2 * 4 * 6.0).reshape(1, 2, 4, 6)
    y, _ = Squeeze()(x)
    assert sorted(y.flatten().tolist()) == sorted(x.flatten().tolist())
    assert set(y[0, :, 1, 2].tolist()) == set(x[0, :, 2:4, 4:6].flatten().tolist())


def test_sums_do_not_lose_float32_terms():
    x = torch.full((2, 1, 1000, 1000), 0.1)
    expected = 1e6 * float(torch.tensor(0.1).double())
    assert sum_per_image(x)[0].item() == pytest.approx(expected, rel=1e-12)


def test_candidates_of_an_image_are_neighbours():
    value = torch.tensor([[1.0], [2.0]])
    assert per_candidate(value, 6).flatten().tolist() == [1, 1, 1, 2, 2, 2]
    assert per_candidate(value, 2) is value


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
@pytest.mark.parametrize(("coarse", "reach"), [(False, 1), (True, 3)])
def test_a_block_at_half_resolution_reads_twice_as_far(coarse, reach):
    block = helpers.randomise(helpers.seeded(lambda: Residual(3, coarse=coarse), 1)).double()
    h = helpers.normal((1, 3, 11, 12), 1)  # an odd side, which halving does not divide
    changed = h.clone()
    changed[..., 5, 6] += 1
    difference = (block(changed) - block(h)).abs().sum((0, 1))
    rows, columns = difference.nonzero().T
    assert block(h).shape == h.shape
    # Of a coarse pixel's neighbours, the farther one ends 3 pixels away, the nearer one 2.
    for found, at in ((rows, 5), (columns, 6)):
        assert max(at - int(found.min()), int(found.max()) - at) == reach


def test_sums_of_a_guide_cannot_die():
    """However far below 0 they lie, every convolution still hears of the loss."""
    guide = helpers.seeded(lambda: Guide(2, (8, 6, 4), 3), 1).double()
    helpers.randomise(guide)
    x = helpers.normal((2, 2, 16, 16), 2)
    with torch.no_grad():
        guide.embed.bias -= 100
        for conv in guide.wider:
            conv.bias -= 1000
    said = guide(x)
    assert said.shape == (2, 3, 16, 16)
    said.square().sum().backward()
    for name, parameter in guide.named_parameters():
        assert float(parameter.grad.abs().max()) > 0, name


@torch.no_grad()
def test_a_guide_reads_its_sums_at_one_size():
    """Blocks read what they add to divided by its root mean square, pixel by pixel."""
    block = helpers.seeded(lambda: Residual(5, normed=True), 1).double()
    h = helpers.normal((2, 5, 6, 6), 2)
    size = 1 + helpers.normal((2, 1, 6, 6), 3).exp()
    torch.testing.assert_close(block(size * h) - size * h, block(h) - h, rtol=0, atol=1e-4)
    plain = helpers.seeded(lambda: Residual(5), 1).double()
    assert (plain(size * h) - size * h - plain(h) + h).abs().max() > 0.1
