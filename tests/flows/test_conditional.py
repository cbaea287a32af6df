"""The conditional flows F_i, against densities that are known by other means."""

import helpers
import pytest
import torch

from caflow_cli.flows import (
    ConditionalFlow,
    standard_normal_log_prob,
)
from caflow_cli.flows.conditional import latent_layout

from .closed_form import affine_map, constant_nets, gaussian


@pytest.mark.parametrize("index", [0, 1])
@torch.no_grad()
def test_conditional_flow_with_constant_nets_is_a_gaussian(index):
    flow = constant_nets(ConditionalFlow(index, helpers.sizes(2, f_steps=2, f_hidden=4)), 5)
    x = helpers.normal((6, *[(8, 2, 2), (2, 4, 4)][index]), 6)
    l = [helpers.normal((1, 8, 2, 2), 7)][:index]
    d = [helpers.normal((1, 8, 2, 2), 8), helpers.normal((1, 2, 4, 4), 9)]

    def apply(p):
        # D once for all, as for the candidates of one image; L for each.
        read = flow.read(d)
        each = [t.expand(p.shape[0], -1, -1, -1) for t in l]
        given = [c.with_latent(l_j) for c, l_j in zip(read, [*each, None], strict=False)]
        return flow(p, given)

    a, b = affine_map(lambda p: apply(p)[0], x)
    z, logdet = apply(x)
    log_prob = logdet + sum(standard_normal_log_prob(t) for t in z)
    torch.testing.assert_close(log_prob, gaussian(a, b).log_prob(x.flatten(1)), rtol=0, atol=1e-8)


def test_the_layout_of_latents_is_the_table_of_three_scales():
    """Channels of z_j^i and how often sides are halved: images in colour, three scales."""
    assert latent_layout(3, 3) == [
        [(192, 4)],
        [(96, 4), (24, 3)],
        [(96, 4), (24, 3), (12, 2)],
    ]


@pytest.mark.parametrize("scales", [1, 2, 4])
def test_latents_hold_as_many_values_as_the_image(scales):
    layout = latent_layout(3, scales)
    assert [len(row) for row in layout] == list(range(1, scales + 1))
    side = 2 ** (scales + 1)
    assert sum(c * (side >> h) ** 2 for row in layout for c, h in row) == 3 * side**2
