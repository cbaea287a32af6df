"""R and T: scale behind scale, half of each going on."""

import helpers
import torch

from caflow_cli.flows import (
    MultiScaleFlow,
)

from .closed_form import affine_map, constant_nets, density, gaussian


@torch.no_grad()
def test_multiscale_flow_with_constant_nets_is_a_gaussian():
    flow = constant_nets(MultiScaleFlow(1, 2, (4, 4), 2.0), 3)
    x = 2 * helpers.normal((6, 1, 4, 8), 4)
    a, b = affine_map(lambda p: flow(p)[0], x)
    expected = gaussian(a, b).log_prob(x.flatten(1))
    torch.testing.assert_close(density(flow, x), expected, rtol=0, atol=1e-8)
