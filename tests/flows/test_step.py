"""Steps of the flows, against densities that are known by other means."""

import math

import helpers
import pytest
import torch

from caflow_cli.flows import (
    ConditionalStep,
    standard_normal_log_prob,
)
from caflow_cli.layers.terms import bounded

from .closed_form import constant_nets, density, gaussian


@torch.no_grad()
def test_a_step_is_the_gaussian_that_its_parameters_say():
    """A and b written out from the parameters of actnorm, 1×1, injector and coupling."""
    step = constant_nets(helpers.seeded(lambda: ConditionalStep(4, 3, 2.0), 1), 10)
    cond = step.read(helpers.normal((1, 3, 1, 1), 11), helpers.normal((1, 3, 1, 1), 12))
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


class Stack(torch.nn.Module):
    """Conditional steps, one behind the other."""

    def __init__(self, steps, hidden):
        super().__init__()
        self.steps = torch.nn.ModuleList(ConditionalStep(2, hidden, 2.0) for _ in range(steps))

    def forward(self, x, cond):
        logdet = torch.zeros(x.shape[0], dtype=torch.float64)
        for step in self.steps:
            x, term = step(x, step.read(*cond))
            logdet = logdet + term
        return x, logdet

    def inverse(self, y, cond):
        for step in reversed(self.steps):
            y, _ = step.inverse(y, step.read(*cond))
        return y, None


@pytest.mark.parametrize("seed", [20, 21, 22, 23])
@torch.no_grad()
def test_a_stack_of_conditional_steps_integrates_to_one(seed):
    stack = helpers.randomise(helpers.seeded(lambda: Stack(4, 8), 2), seed=17, last=0.7)
    stack = helpers.of_one_pixel(stack).double().eval()
    cond = helpers.normal((1, 8, 1, 1), seed), helpers.normal((1, 8, 1, 1), seed + 100)
    drawn, _ = stack.inverse(helpers.normal((5_000, 2, 1, 1), 18), cond)
    # A box around all draws with half a width to spare on each side, and a fine grid in it.
    low, high = drawn.flatten(1).amin(0), drawn.flatten(1).amax(0)
    low, high = low - (high - low) / 2, high + (high - low) / 2
    points = 160  # off by 1e-5 at most, as finer grids show
    cells = (high - low) / points
    axes = [low[k] + cells[k] * (torch.arange(points).double() + 0.5) for k in (0, 1)]
    grid = torch.cartesian_prod(*axes)[:, :, None, None]
    log_prob = density(stack, grid, cond)
    integral = log_prob.exp().sum() * cells.prod()
    assert integral.item() == pytest.approx(1, abs=1e-4)
    # It is no Gaussian of the base's: the integral shows something.
    spread = log_prob - standard_normal_log_prob(grid)
    assert spread[log_prob > math.log(1e-3)].std() > 0.1
