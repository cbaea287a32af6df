"""The guide of enlarging: it works at the resolution that the picture had."""

import helpers
import pytest
import torch

from caflow_cli.layers import Conv, Enlarge


def build(factor=4, width=6, blocks=2, seed=3):
    return helpers.randomise(helpers.seeded(lambda: Enlarge(3, width, blocks, factor, 2), 1), seed)


@pytest.mark.parametrize("factor", [2, 4, 8])
@torch.no_grad()
def test_shape_and_that_a_fresh_one_says_nothing(factor):
    x = helpers.normal((2, 3, 16, 24), 2, torch.float32)
    assert Enlarge(3, 6, 2, factor, 2)(x).shape == (2, 2, 16, 24)
    assert not Enlarge(3, 6, 2, factor, 2)(x).any()
    assert build(factor)(x).std() > 0.05


@torch.no_grad()
def test_its_blocks_work_at_the_low_resolution():
    net, sizes = build(4), set()
    for block in net.blocks:
        block.register_forward_hook(lambda module, args, out: sizes.add(tuple(out.shape[-2:])))
    net(helpers.normal((1, 3, 32, 16), 2, torch.float32))
    assert sizes == {(8, 4)}


def test_every_parameter_is_used():
    net = build()
    net(helpers.normal((2, 3, 16, 16), 2, torch.float32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in net.parameters())


@torch.no_grad()
def test_a_cell_sees_as_far_as_its_convolutions_reach_and_no_farther():
    """Embed, two a block, tail: at a quarter of the resolution. Then up twice, and the head."""
    net, x = build(4, blocks=1), helpers.normal((1, 3, 64, 64), 2, torch.float32)
    changed = x.clone()
    changed[..., 32, 32] += 1
    rows = (net(changed) - net(x)).abs().sum((0, 1, 3)).nonzero().flatten()
    reach = 4 * 4 + 4 + 2 + 1  # cells of 4 pixels, and what the doublings add
    assert 32 - reach - 4 <= int(rows.min()) < 32 < int(rows.max()) <= 32 + reach + 4
    assert int(rows.max()) - int(rows.min()) > 16


def test_it_has_half_the_channels_at_the_full_resolution():
    convs = [m for m in build(4, width=6).modules() if isinstance(m, Conv)]
    assert convs[-1].in_channels == 3
