"""R and T: scale behind scale, half of each going on."""

import helpers
import pytest
import torch

from caflow_cli.flows import MultiScaleFlow
from caflow_cli.flows.multiscale import latent_channels

from .closed_form import affine_map, constant_nets, density, gaussian


@torch.no_grad()
def test_multiscale_flow_with_constant_nets_is_a_gaussian():
    flow = constant_nets(MultiScaleFlow(1, 2, (4, 4), 2.0), 3)
    x = 2 * helpers.normal((6, 1, 4, 8), 4)
    a, b = affine_map(lambda p: flow(p)[0], x)
    expected = gaussian(a, b).log_prob(x.flatten(1))
    torch.testing.assert_close(density(flow, x), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("scales", [1, 2, 3])
@torch.no_grad()
def test_latents_have_the_shapes_that_are_stated_and_all_values_of_the_image(scales):
    flow = helpers.randomise(MultiScaleFlow(3, 1, (4,) * scales, 2.0), 1).double().eval()
    x = helpers.normal((2, 3, 16, 8), 2)
    l, logdet = flow(x)
    expected = [
        (2, latent_channels(3, i, scales), 16 >> (scales - i), 8 >> (scales - i))
        for i in range(scales)
    ]
    assert [tuple(t.shape) for t in l] == expected
    assert sum(t[0].numel() for t in l) == x[0].numel()
    back, logdet_back = flow.inverse(l)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-10)
    torch.testing.assert_close(logdet_back, -logdet, rtol=0, atol=1e-9)
