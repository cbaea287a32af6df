"""The guide that sums over resolutions."""

import helpers
import torch

from caflow_cli.layers import Guide


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
