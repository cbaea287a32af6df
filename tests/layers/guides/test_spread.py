"""The net of a mean's spread."""

import helpers
import torch

from caflow_cli.layers import Spread


@torch.no_grad()
def test_it_says_nothing_at_first_and_sees_some_pixels_around():
    spread = Spread(6, 8, 3).double()
    x = helpers.normal((1, 6, 32, 32), 1)
    assert torch.equal(spread(x), torch.zeros(1, 3, 32, 32, dtype=torch.float64))
    spread = helpers.randomise(spread, 2)
    before = spread(x)
    x[:, :, 16, 16] += 1
    moved = (spread(x) != before).any(dim=1)[0].nonzero()
    assert (moved.min(0).values.tolist(), moved.max(0).values.tolist()) == ([10, 10], [23, 23])
