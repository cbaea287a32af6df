"""Equation 8: p(L_i | L_{i-1}..L_0, D_i..D_0), function by function."""

import helpers
import pytest
import torch

from caflow_cli.flows import AnchorCondition
from caflow_cli.model import CAFlow, Condition

SCALES, SIDE = 3, 32


@pytest.fixture(scope="module")
def model():
    config = helpers.small_config(target_channels=1, cond_channels=1)
    return helpers.randomize(helpers.seeded(lambda: CAFlow(config), 1), 2).double().eval()


def leaves(image, flow):
    with torch.no_grad():
        values, _ = flow(helpers.normal(image, 3))
    return [t.requires_grad_() for t in values]


def given(model, d):
    """The condition of these D; what A reads of y is not used without an anchor and a guide."""
    return Condition(d, AnchorCondition(None, None), model.density.F.read(d))


def nonzero(output, inputs):
    """Which inputs the output depends on: a gradient that is exactly zero, or none, is no."""
    weights = helpers.normal(output.shape, 5)
    gradients = torch.autograd.grad(
        (output * weights).sum(), inputs, retain_graph=True, allow_unused=True
    )
    return [g is not None and bool(g.any()) for g in gradients]


def test_z_sees_only_the_allowed_l_and_d(model):
    """z_j^i reads L_k and D_k for j <= k <= i and no others."""
    image = (1, 1, SIDE, SIDE)
    l, d = leaves(image, model.density.T), leaves(image, model.density.R)
    # T's output replaced by leaves: all that the model makes of them is seen.
    hook = model.density.T.register_forward_hook(lambda module, args, output: (l, output[1]))
    try:
        z, _ = model.density(128 + 30 * helpers.normal(image, 4), given(model, d))
    finally:
        hook.remove()
    table = [(i, j) for i in reversed(range(SCALES)) for j in reversed(range(i + 1))]
    for (i, j), z_j in zip(table, z, strict=True):
        allowed = [j <= k <= i for k in range(SCALES)]
        assert nonzero(z_j, l) == allowed, f"L in z_{j}^{i}"
        assert nonzero(z_j, d) == allowed, f"D in z_{j}^{i}"


def test_the_density_is_the_sum_of_equation_9(model):
    """Written out from the paper: f_j^i by f_j^i, without `ConditionalFlow`'s own loop."""
    v = 256 * torch.rand((2, 1, SIDE, SIDE), generator=helpers.generator(7), dtype=torch.float64)
    cond = helpers.smooth_image(2, 1, SIDE, 8)
    with torch.no_grad():
        d, _ = model.density.R(model.density.A.logit(cond.double() + 0.5)[0])
        h, log_prob = model.density.A.logit(v)
        l, term = model.density.T(h)
        log_prob = log_prob + term
        expected_z = {}
        for i in range(SCALES):
            x = l[i]
            for j in range(i, -1, -1):
                function = model.density.F[i].functions[j]
                cond_j = function.read(d[j]).with_latent(None if j == i else l[j])
                x, term = function(x, cond_j)
                log_prob = log_prob + term
                if j:
                    x, expected_z[i, j] = x.chunk(2, 1)
            expected_z[i, 0] = x
        normal = torch.distributions.Normal(0.0, 1.0)
        log_prob += sum(normal.log_prob(z).flatten(1).sum(1) for z in expected_z.values())
    z, actual = model.encode(v, cond)
    torch.testing.assert_close(actual, log_prob, rtol=1e-12, atol=1e-8)
    for z_j, key in zip(z, [(2, 2), (2, 1), (2, 0), (1, 1), (1, 0), (0, 0)], strict=True):
        torch.testing.assert_close(z_j, expected_z[key], rtol=1e-10, atol=1e-10)
