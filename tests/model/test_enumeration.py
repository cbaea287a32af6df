"""Scores against exact enumeration of a tiny state space: two pixels of 2 or 3 bits, that is 16 or
64 states. There `P(w)`, the integral of p over the bin of w, can be computed by quadrature.

The model is a `CAFlow` whose T and F are steps without squeezes, so that it takes one pixel of two
channels; the code that combines the parts into a density, a weight and a score is the package's.
"""

import math

import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from caflow_cli.flows import (
    AnchorCondition,
    ConditionalStep,
    Logit,
    Step,
    standard_normal_log_prob,
)
from caflow_cli.flows.step import forward_through, inverse_through
from caflow_cli.layers import ActNorm, Conv
from caflow_cli.model import CAFlow, Condition

HIDDEN, ALPHA = 6, 0.05
FLOW = helpers.sizes(1, f_hidden=HIDDEN, scale_bound=1.0)
LEVELS = [4, 8]
# Relative error of the integrals. Against twice the nodes it is below 5e-6; with q among the
# factors, whose nets have kinks, below 5e-5.
QUADRATURE = 1e-4


class TinyT(nn.Module):
    """T without a squeeze: [L_0]."""

    def __init__(self):
        super().__init__()
        self.step = Step(0, 2, FLOW)

    def forward(self, x):
        l, logdet = self.step(x)
        return [l], logdet

    def inverse(self, y):
        return self.step.inverse(y[0])


def links(steps, parts):
    """Steps and what they read of features, two for each."""
    shares = zip(steps, parts[::2], parts[1::2], strict=True)
    return [(step, step.read(*share)) for step, *share in shares]


class TinyF(nn.Module):
    """f_0^0 without a squeeze, `cond` being the features of its steps: [[z_0^0]]."""

    layout = ((None,),)

    def __init__(self, steps=2):
        super().__init__()
        self.steps = nn.ModuleList(ConditionalStep(2, FLOW) for _ in range(steps))

    def _links(self, cond):
        return links(self.steps, cond)

    def forward(self, x, cond):
        z, logdet = forward_through(self._links(cond), x[0])
        return [[z]], logdet

    def inverse(self, y, cond):
        l, logdet = inverse_through(self._links(cond), y[0][0])
        return [l], logdet


class TinyQ(nn.Module):
    """`VariationalNoise` without a squeeze."""

    def __init__(self, levels, steps=2):
        super().__init__()
        self.levels = levels
        self.embed = Conv(2, 2 * steps * HIDDEN, 3)
        self.steps = nn.ModuleList(ConditionalStep(2, FLOW) for _ in range(steps))

    def forward(self, x, cond):
        parts = self.embed(2 * cond / self.levels - 1).chunk(2 * len(self.steps), dim=1)
        h, logdet = forward_through(links(self.steps, parts), x)
        u = torch.sigmoid(h)
        return u, logdet - (F.softplus(h) + F.softplus(-h)).flatten(1).sum(1)


def build(levels, dequantization):
    model = CAFlow(helpers.small_config(scales=1, target_channels=2, cond_channels=2))
    model.density.A.logit = model.density.A.map = Logit(ALPHA, levels)
    model.density.T, model.density.F = TinyT(), TinyF()
    if dequantization == "variational":
        model.Q = TinyQ(levels)
    return model


@torch.no_grad()
def tiny(levels, dequantization, seed=2):
    """The model, in float64 and `eval()`, and the condition of its F."""
    model = helpers.seeded(lambda: build(levels, dequantization), seed)
    for part in (model.density.T, model.density.F, model.Q):
        if part is not None:
            helpers.randomize(part, seed=seed + 1, last=0.3, affine=0.15)
    if model.Q is not None:
        # A sigmoid of a standard normal leaves the edges of the bin almost without noise, and the
        # weights p / q uneven: as wide as a logistic variable it is nearly uniform.
        for child in model.Q.modules():
            if isinstance(child, ActNorm):
                child.log_scale += 0.4
    cond = [helpers.normal((1, HIDDEN, 1, 1), seed + 2 + k) for k in range(4)]
    # F is given its features as they are.
    given = Condition([], AnchorCondition(None, None), cond)
    return helpers.of_one_pixel(model).double().eval(), given


def density(model, cond, v):
    """p(v) at points (..., 2)."""
    parts = v.reshape(-1, 2, 1, 1).split(2**15)
    return torch.cat([model.density(x, cond)[1] for x in parts]).exp().view(v.shape[:-1])


def legendre(points, low, high):
    nodes, weights = np.polynomial.legendre.leggauss(points)
    half = (high - low) / 2
    return torch.from_numpy(low + half * (nodes + 1)), torch.from_numpy(half * weights)


def square(axes):
    """Nodes (m^2, 2) and weights (m^2,) of a product rule."""
    nodes, weights = axes
    return torch.cartesian_prod(nodes, nodes), torch.cartesian_prod(weights, weights).prod(1)


def states(levels):
    values = torch.arange(levels, dtype=torch.float64)
    return torch.cartesian_prod(values, values)


def probabilities(model, cond, levels, points=24):
    """P(w) of all states: (levels^2,)."""
    u, weights = square(legendre(points, 0, 1))
    return density(model, cond, states(levels)[:, None] + u) @ weights


def outside(model, cond, levels, points=48):
    """Mass that the model puts beyond [0, levels)^2, within the support of its logit."""
    margin = levels * ALPHA / (2 * (1 - ALPHA))
    inner = [legendre(24, k, k + 1) for k in range(levels)]
    outer = [legendre(points, *ends) for ends in ((-margin, 0), (levels, levels + margin))]
    beyond = [torch.full((24,), False)] * levels + [torch.full((points,), True)] * 2
    nodes, weights = (torch.cat(parts) for parts in zip(*inner, *outer, strict=True))
    v, area = square((nodes, weights))
    far = torch.cartesian_prod(*[torch.cat(beyond)] * 2).any(1)
    assert not model.density.A.logit.near_ends(v, cond, share=1.0).any()
    return float(density(model, cond, v[far]) @ area[far])


def log_weights(model, cond, w, noise):
    """`log p(w + u) - log q(u|w)` at noise (m, 2), for one state."""
    terms = []
    for part in noise.reshape(-1, 2, 1, 1).split(2**15):
        v, term = model.dequantize(w.view(1, 2, 1, 1).expand_as(part), part)
        terms.append(model.density(v, cond)[1] + term)
    return torch.cat(terms)


def expected_terms(model, cond, levels):
    """E[log p(w + u) - log q(u|w)] of all states, by a product rule over the noise."""
    if model.Q is None:
        noise, weights = square(legendre(24, 0, 1))
    else:
        nodes, weights = legendre(96, -7, 7)
        normal = (-nodes.square() / 2).exp() / math.sqrt(2 * math.pi)
        noise, weights = square((nodes, weights * normal))
        assert float(weights.sum()) == pytest.approx(1, abs=1e-9)
    return torch.stack([log_weights(model, cond, w, noise) @ weights for w in states(levels)])


@pytest.mark.parametrize("levels", LEVELS)
@torch.no_grad()
def test_probabilities_sum_to_one_less_the_mass_outside(levels):
    model, cond = tiny(levels, "uniform")
    p = probabilities(model, cond, levels)
    far = outside(model, cond, levels)
    assert (p > 0).all()
    assert 0.01 < far < 0.5
    assert float(p.sum()) < 1
    assert float(p.sum()) + far == pytest.approx(1, abs=QUADRATURE)


@pytest.mark.parametrize("levels", LEVELS)
@torch.no_grad()
def test_samples_fall_into_the_bins_as_often_as_that(levels):
    model, cond = tiny(levels, "uniform")
    p = probabilities(model, cond, levels)
    draws = 200_000
    v, log_p = model.density.inverse([helpers.normal((draws, 2, 1, 1), 7)], cond)
    torch.testing.assert_close(log_p[:100], model.density(v[:100], cond)[1])
    bins = v.flatten(1).floor()
    inside = ((bins >= 0) & (bins < levels)).all(1)
    counts = (
        (bins[inside] @ torch.tensor([levels, 1.0]).double()).long().bincount(minlength=levels**2)
    )
    error = (p * (1 - p) / draws).sqrt()
    assert ((counts / draws - p).abs() < 5 * error).all()


@pytest.mark.parametrize("dequantization", ["uniform", "variational"])
@torch.no_grad()
def test_one_noise_draw_bounds_the_discrete_probability(dequantization):
    model, cond = tiny(4, dequantization)
    p = probabilities(model, cond, 4)
    bound = expected_terms(model, cond, 4)
    gap = p.log() - bound
    assert (gap > -QUADRATURE).all()
    assert float(gap.max()) > 0.01  # a bound, and not the probability itself
    assert float(gap.max()) < 1
    assert float(bound.exp().sum()) < float(p.sum()) < 1


@torch.no_grad()
def test_the_weights_average_to_the_discrete_probability():
    """∫ q (p / q) du is P(w), whatever q: exactly, where draws have a Monte Carlo error."""
    model, cond = tiny(4, "variational")
    noise, weights = square(legendre(192, -14, 14))
    log_normal = standard_normal_log_prob(noise)
    for w, p in zip(states(4), probabilities(model, cond, 4), strict=True):
        total = (log_weights(model, cond, w, noise) + log_normal).exp() @ weights
        assert float(total) == pytest.approx(float(p), rel=QUADRATURE)
