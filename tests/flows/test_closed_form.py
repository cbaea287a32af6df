"""Densities that are known by other means: linear-Gaussian flows, and integrals that are 1."""

import math

import helpers
import pytest
import torch
from torch.distributions import MultivariateNormal

from caflow_cli.flows import (
    ConditionalFlow,
    ConditionalScale,
    ConditionalStep,
    MultiScaleFlow,
    Sizes,
    StepCondition,
    standard_normal_log_prob,
)
from caflow_cli.layers import ConvNet
from caflow_cli.layers.terms import bounded


def density(flow, x, cond=None):
    z, logdet = flow(x, cond)
    return logdet + sum(standard_normal_log_prob(t) for t in helpers.tensors(z))


@torch.no_grad()
def constant_nets(module, seed):
    """Nets that ignore what they read: their last bias alone, different in every channel."""
    helpers.randomise(module, seed)
    for child in module.modules():
        if isinstance(child, ConvNet):
            child.last.weight.zero_()
    return module.double().eval()


def affine_map(function, like):
    """A and b of a function that is A x + b, by its values at 0 and at the unit vectors."""
    dims = like[0].numel()
    shape = like.shape[1:]
    points = torch.cat([torch.zeros(1, dims), torch.eye(dims)]).double().reshape(-1, *shape)
    values = helpers.flat(function(points))
    return (values[1:] - values[0]).T, values[0]


def gaussian(a, b):
    """The law of x where A x + b is a standard normal: N(-A^-1 b, A^-1 A^-T)."""
    inverse = torch.linalg.inv(a)
    covariance = inverse @ inverse.T
    return MultivariateNormal(-inverse @ b, covariance_matrix=(covariance + covariance.T) / 2)


def test_standard_normal_prior():
    z = helpers.normal((3, 2, 4, 4), 1)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).flatten(1).sum(1)
    torch.testing.assert_close(standard_normal_log_prob(z), expected, rtol=0, atol=1e-10)
    assert standard_normal_log_prob(z.float()).dtype == torch.float64


@torch.no_grad()
def test_multiscale_flow_with_constant_nets_is_a_gaussian():
    flow = constant_nets(MultiScaleFlow(1, 2, (4, 4), 2.0), 3)
    x = 2 * helpers.normal((6, 1, 4, 8), 4)
    a, b = affine_map(lambda p: flow(p)[0], x)
    expected = gaussian(a, b).log_prob(x.flatten(1))
    torch.testing.assert_close(density(flow, x), expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("index", [0, 1])
@torch.no_grad()
def test_conditional_flow_with_constant_nets_is_a_gaussian(index):
    flow = constant_nets(ConditionalFlow(index, Sizes(1, 1, 2, 2, 4, 2.0)), 5)
    x = helpers.normal((6, *[(8, 2, 2), (2, 4, 4)][index]), 6)
    l = [helpers.normal((1, 8, 2, 2), 7)][:index]
    d = [helpers.normal((1, 8, 2, 2), 8), helpers.normal((1, 2, 4, 4), 9)]

    def apply(p):
        # D once for all, as for the candidates of one image; L for each.
        return flow(p, (d, [t.expand(p.shape[0], -1, -1, -1) for t in l]))

    a, b = affine_map(lambda p: apply(p)[0], x)
    z, logdet = apply(x)
    log_prob = logdet + sum(standard_normal_log_prob(t) for t in z)
    torch.testing.assert_close(log_prob, gaussian(a, b).log_prob(x.flatten(1)), rtol=0, atol=1e-8)


@torch.no_grad()
def test_a_step_is_the_gaussian_that_its_parameters_say():
    """A and b written out from the parameters of actnorm, 1×1, injector and coupling."""
    step = constant_nets(helpers.seeded(lambda: ConditionalStep(4, 3, 2.0), 1), 10)
    cond = StepCondition(helpers.normal((1, 3, 1, 1), 11), helpers.normal((1, 3, 1, 1), 12))
    scale = torch.diag(step.affine.actnorm.log_scale.exp())
    a = step.affine.invconv.weight() @ scale
    b = a @ step.affine.actnorm.bias

    raw, bias = step.injector.net.last.bias.chunk(2)
    injector = bounded(raw, 2.0).exp()
    a, b = injector[:, None] * a, injector * b + bias

    raw, bias = step.coupling.net.last.bias.chunk(2)
    coupling = torch.cat([bounded(raw, 2.0).exp(), torch.ones(2)])
    a, b = coupling[:, None] * a, coupling * b + torch.cat([bias, torch.zeros(2)])

    x = 2 * helpers.normal((7, 4, 1, 1), 13)
    expected = gaussian(a, b).log_prob(x.flatten(1))
    torch.testing.assert_close(density(step, x, cond), expected, rtol=0, atol=1e-9)


@torch.no_grad()
def test_injectors_linear_in_the_condition_shift_the_mean_linearly():
    """z = A x + C c + b: fitted at a few conditions, it is the density at others."""
    scale = helpers.randomise(ConditionalScale(4, 1, 0, 2, 4, 2.0), 14).double().eval()
    # Far from the kinks the nets are linear: all hidden values positive. Scales stay constant.
    scale.embed_d.bias.fill_(60.0)
    for step in scale.steps:
        step.injector.net.second.weight.abs_()
        step.injector.net.last.weight[:4] = 0
        step.injector.net.last.bias[4:] -= 60 * step.injector.net.last.weight[4:].sum((1, 2, 3))
        step.coupling.net.last.weight.zero_()
    x, c = helpers.normal((9, 1, 4, 4), 15), helpers.normal((9, 1, 4, 4), 16)

    a, _ = affine_map(lambda p: scale(p, (0 * p[:1], None))[0], x)
    zero = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    shift, b = affine_map(lambda p: scale(zero.expand_as(p), (p, None))[0], c)
    assert shift.abs().max() > 0.1
    for x_i, c_i in zip(x, c, strict=True):
        expected = gaussian(a, shift @ c_i.flatten() + b).log_prob(x_i.flatten())
        log_prob = density(scale, x_i[None], (c_i[None], None))[0]
        torch.testing.assert_close(log_prob, expected, rtol=0, atol=1e-8)


class Stack(torch.nn.Module):
    """Conditional steps, one behind the other."""

    def __init__(self, steps, hidden):
        super().__init__()
        self.steps = torch.nn.ModuleList(ConditionalStep(2, hidden, 2.0) for _ in range(steps))

    def forward(self, x, cond):
        logdet = torch.zeros(x.shape[0], dtype=torch.float64)
        for step in self.steps:
            x, term = step(x, cond)
            logdet = logdet + term
        return x, logdet

    def inverse(self, y, cond):
        for step in reversed(self.steps):
            y, _ = step.inverse(y, cond)
        return y, None


@pytest.mark.parametrize("seed", [20, 21, 22, 23])
@torch.no_grad()
def test_a_stack_of_conditional_steps_integrates_to_one(seed):
    stack = helpers.randomise(helpers.seeded(lambda: Stack(4, 8), 2), seed=17, last=0.7)
    stack = stack.double().eval()
    cond = StepCondition(
        helpers.normal((1, 8, 1, 1), seed), helpers.normal((1, 8, 1, 1), seed + 100)
    )
    drawn, _ = stack.inverse(helpers.normal((20_000, 2, 1, 1), 18), cond)
    # A box around all draws with half a width to spare on each side, and a fine grid in it.
    low, high = drawn.flatten(1).amin(0), drawn.flatten(1).amax(0)
    low, high = low - (high - low) / 2, high + (high - low) / 2
    points = 500
    cells = (high - low) / points
    axes = [low[k] + cells[k] * (torch.arange(points).double() + 0.5) for k in (0, 1)]
    grid = torch.cartesian_prod(*axes)[:, :, None, None]
    log_prob = torch.cat([density(stack, part, cond) for part in grid.split(50_000)])
    integral = log_prob.exp().sum() * cells.prod()
    assert integral.item() == pytest.approx(1, abs=1e-3)
    # It is no Gaussian of the base's: the integral shows something.
    spread = log_prob - standard_normal_log_prob(grid)
    assert spread[log_prob > math.log(1e-3)].std() > 0.1
