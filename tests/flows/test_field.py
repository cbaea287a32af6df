"""The anchor of fields: marginals, dry cells, and the score."""

import math
from typing import Any

import helpers
import numpy as np
import pytest
import torch
from scipy import stats
from small_fields import RAIN, flow_of, model_of
from torch import Tensor, nn

from caflow_cli import CAFlow, Config
from caflow_cli.errors import CaflowError
from caflow_cli.fields.scale import scale_of
from caflow_cli.flows import (
    ConditionalStep,
    FieldAnchor,
    FieldCondition,
    Marginals,
    standard_normal_log_prob,
)
from caflow_cli.flows.step import forward_through, inverse_through
from caflow_cli.model import Condition
from caflow_cli.training import OptimConfig, SamplesConfig
from caflow_cli.training.phases import phases_of
from caflow_cli.training.sets import Batch

DRY = -math.inf


def coarse(h, w, seed=0, dry=0.3):
    """A coarse field in dB, each value repeated, of which some means are dry."""
    g = 6 * torch.randn(1, 1, h, w, generator=helpers.generator(seed), dtype=torch.float64)
    g[torch.rand(g.shape, generator=helpers.generator(seed + 1)) < dry] = DRY
    level = g.repeat_interleave(4, 2).repeat_interleave(4, 3)
    return torch.cat([level, torch.zeros_like(level)], dim=1)


def marginals_of(shape, seed=0):
    location, log_scale, skew, tail = torch.randn(
        4, *shape, generator=helpers.generator(seed), dtype=torch.float64
    )
    return Marginals(3 * location, 1 + log_scale / 3, skew / 2, tail / 4)


def fields_of(y, batch, seed=0):
    """Points of fields: wet and dry cells, dry ones where y is."""
    level = y[:, :1]
    g = 8 * torch.randn(batch, *level.shape[1:], generator=helpers.generator(seed), dtype=y.dtype)
    u = torch.rand(g.shape, generator=helpers.generator(seed + 1), dtype=y.dtype)
    return torch.where((g < 0) | level.isneginf(), 0.98 * u + 0.01 - 1, g)


def test_marginals_are_inverted_with_the_derivative_of_autograd():
    marginals = marginals_of((1, 1, 6, 6))
    g = (10 * torch.randn(3, 1, 6, 6, dtype=torch.float64)).requires_grad_()
    h, steepness = marginals.of(g)
    (slope,) = torch.autograd.grad(h.sum(), g)
    torch.testing.assert_close(steepness, slope.log())
    torch.testing.assert_close(marginals.back(h), g)


def test_without_skew_and_tail_marginals_are_normal():
    location, log_scale, zero, _ = marginals_of((1, 1, 4, 4))
    zero = torch.zeros_like(zero)
    g = torch.randn(2, 1, 4, 4, dtype=torch.float64)
    h, _ = Marginals(location, log_scale, zero, zero).of(g)
    torch.testing.assert_close(h, (g - location) / log_scale.exp())


def assert_bijective(anchor: FieldAnchor, v: Tensor, cond: Any) -> tuple[Tensor, Tensor]:
    """Compare its inverse with v, its log-determinants with autograd; return h, dh/dv."""
    h, logdet = anchor(v, cond)
    (slope,) = torch.autograd.grad(h.sum(), v)
    torch.testing.assert_close(logdet, slope.log().sum((1, 2, 3)))
    back, term = anchor.inverse(h, cond)
    torch.testing.assert_close(back, v, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(term, -logdet)
    return h, slope


def test_the_anchor_is_a_bijection_with_the_derivative_of_autograd():
    anchor = helpers.randomize(FieldAnchor(flow_of()), 3, last=0.2).double()
    y = coarse(2, 3)
    cond = anchor.read(y)
    v = fields_of(y, 5).requires_grad_()
    assert_bijective(anchor, v, cond)


def test_a_cell_is_dry_below_its_bound_and_where_y_says_so():
    anchor = helpers.randomize(FieldAnchor(flow_of()), 3, last=0.2).double()
    y = coarse(2, 3)
    cond = anchor.read(y)
    h = 3 * torch.randn(7, *y.shape[1:], dtype=torch.float64)
    v, _ = anchor.inverse(h, cond)
    bound, _ = cond.marginals.of(torch.zeros_like(y))
    assert torch.equal(v >= 0, h >= bound)
    assert (v[..., y[0, 0].isneginf()] < 0).all()
    assert (v > -1).all()


def test_without_dry_cells_every_number_is_a_value():
    """A bijection of the real line, except where y has no value: there h is noise."""
    anchor = helpers.randomize(FieldAnchor(flow_of(dry=False)), 3, last=0.2).double()
    y = coarse(2, 3)
    cond = anchor.read(y)
    known = y[:, :1].isneginf()
    g = 8 * helpers.normal((5, *known.shape[1:]), 0)
    v = torch.where(known, -0.3, g).requires_grad_()
    assert (v < -1).any()
    h, slope = assert_bijective(anchor, v, cond)
    assert anchor.supports(v, cond).all()

    density = (-0.5 * (h.square() + math.log(2 * math.pi))).where(~known, 0).sum((1, 2, 3))
    expected = density + slope.log().where(~known, 0).sum((1, 2, 3))
    torch.testing.assert_close(anchor.log_prob_alone(v, cond), expected)


def test_a_dry_cell_that_the_guide_excludes_has_a_finite_density():
    """P(dry) is e^-100000, less than float64 holds."""
    ones = torch.ones(1, 1, 1, 3, dtype=torch.float64)
    cond = FieldCondition(
        Marginals(450 * ones, 0 * ones, 0 * ones, 0 * ones), torch.zeros(1, 1, 1, 3) > 0
    )
    anchor = FieldAnchor(flow_of())
    v = torch.tensor([-0.9, -0.5, -0.1], dtype=torch.float64).view(1, 1, 1, 3)
    h, logdet = anchor(v, cond)
    expected = torch.special.log_ndtr(torch.tensor(-450.0).double()) + (v + 1).log()
    torch.testing.assert_close(torch.special.log_ndtr(h), expected, rtol=1e-14, atol=1e-10)
    assert logdet.isfinite().all()
    torch.testing.assert_close(anchor.inverse(h, cond)[0], v, rtol=0, atol=1e-9)


def test_a_guide_reads_what_is_left_out():
    """A gap is like a dry mean, but the marginals around it are those of a field without it."""
    anchor = helpers.randomize(FieldAnchor(flow_of()), 3, last=0.2).double()
    y = coarse(3, 3, dry=0)
    gap = torch.zeros_like(y[:, :1], dtype=torch.bool)
    gap[..., 4:8, 4:8] = True
    cond = anchor.read(torch.cat([y[:, :1], gap.to(y)], dim=1))
    for found, expected in zip(cond.marginals, anchor.read(y).marginals, strict=True):
        assert torch.equal(found[~gap], expected[~gap])
    assert torch.equal(cond.known, gap)


def test_independent_cells_have_the_censored_likelihood():
    """With standard normal h, the map gives a dry cell its mass and a wet one its density."""
    anchor = helpers.randomize(FieldAnchor(flow_of()), 3, last=0.2).double()
    y = coarse(2, 3)
    cond = anchor.read(y)
    v = fields_of(y, 5)
    h, logdet = anchor(v, cond)
    normal = -0.5 * (h.square() + math.log(2 * math.pi))
    expected = normal.sum((1, 2, 3)) + logdet
    torch.testing.assert_close(anchor.log_prob_alone(v, cond), expected, atol=1e-6, rtol=0)
    other = torch.where(v < 0, -0.5, v)  # other noise
    torch.testing.assert_close(anchor.log_prob_alone(other, cond), expected, atol=1e-6, rtol=0)


def test_the_censored_likelihood_by_hand():
    """Two cells in closed form: g = 4 of N(3, 2²), and P(N(3, 2²) < 0)."""
    ones = torch.ones(1, 1, 1, 2, dtype=torch.float64)
    cond = FieldCondition(
        Marginals(3 * ones, math.log(2) * ones, 0 * ones, 0 * ones), torch.zeros(1, 1, 1, 2) > 0
    )
    v = torch.tensor([4.0, -0.7], dtype=torch.float64).view(1, 1, 1, 2)
    wet = -0.5 * 0.5**2 - math.log(2) - 0.5 * math.log(2 * math.pi)
    dry = math.log(0.5 * math.erfc(1.5 / math.sqrt(2)))
    found = FieldAnchor(flow_of()).log_prob_alone(v, cond)
    assert found.item() == pytest.approx(wet + dry, abs=1e-12)


def test_the_gradients_of_the_likelihood_are_finite_on_rain_that_the_guide_excludes():
    anchor = FieldAnchor(flow_of())
    y = coarse(2, 2, dry=0.5).float()
    v = torch.full((1, 1, 8, 8), 60.0)  # far above, also where y is dry
    anchor.log_prob_alone(v, anchor.read(y)).sum().backward()
    assert all(p.grad.isfinite().all() for p in anchor.parameters())


class _Steps(nn.Module):
    """f_0^0 without a squeeze, `cond` being the features of its steps: [[z_0^0]]."""

    def __init__(self, flow):
        super().__init__()
        self.steps = nn.ModuleList(ConditionalStep(4, flow) for _ in range(2))

    def chain(self, cond):
        parts = zip(self.steps, cond[::2], cond[1::2], strict=True)
        return [(step, step.read(*part)) for step, *part in parts]

    def forward(self, x, cond):
        z, logdet = forward_through(self.chain(cond), x[0])
        return [[z]], logdet

    def inverse(self, y, cond):
        l, logdet = inverse_through(self.chain(cond), y[0][0])
        return [l], logdet


def of_four_cells():
    """A density of 2×2 cells, which T squeezes to one pixel, and its condition."""
    flow = flow_of()
    density = helpers.seeded(lambda: CAFlow(Config(flow)), 2).density
    density.F = helpers.seeded(lambda: _Steps(flow), 3)
    for part in (density.T, density.F):
        helpers.of_one_pixel(helpers.randomize(part, 4, last=0.2, affine=0.1))
    density = density.double().eval()
    features = [helpers.normal((1, 8, 1, 1), 5 + k) for k in range(4)]
    middle = torch.tensor([0.8, -0.6, 0.3, 1.2], dtype=torch.float64).view(1, 1, 2, 2)
    marginals = marginals_of((1, 1, 2, 2))._replace(location=middle)
    anchor = FieldCondition(marginals, torch.zeros(1, 1, 2, 2) > 0)
    return density, Condition([], anchor, features)


def of_patterns(wet, weights):
    """The mean of weights for each of the 16 patterns of wet cells: bool (N, 1, 2, 2)."""
    kinds = wet.flatten(1).double() @ torch.tensor([8.0, 4, 2, 1]).double()
    return torch.bincount(kinds.long(), weights, 16) / len(weights)


@torch.no_grad()
def test_the_masses_of_all_patterns_of_wet_cells_sum_to_one():
    """Each mass is also that among samples."""
    density, condition = of_four_cells()
    anchor = condition.anchor
    count, wide = 400_000, 1.6
    h = wide * helpers.normal((count, 1, 2, 2), 6)
    v, term = density.A.inverse(h, anchor)
    proposed = standard_normal_log_prob(h / wide) - 4 * math.log(wide) - term
    weights = torch.exp(density(v, condition)[1] - proposed)
    l, _ = density.F.inverse([[helpers.normal((count, 4, 1, 1), 7)]], condition.flow)
    samples, _ = density.A.inverse(density.T.inverse(l)[0], anchor)
    masses = of_patterns(v >= 0, weights)
    assert masses.sum().item() == pytest.approx(1, abs=0.01)
    shares = of_patterns(samples >= 0, torch.ones(count, dtype=torch.float64))
    torch.testing.assert_close(masses, shares, atol=0.005, rtol=0)
    assert (shares > 0.005).sum() >= 8
    alone = of_patterns(v >= 0, torch.exp(standard_normal_log_prob(h) - term - proposed))
    assert (alone - masses).abs().max() > 0.02  # of the identity as flow

    # The same in the unit: rain from another distribution, with the density in 1/(mm/h) of each.
    rng = np.random.default_rng(8)
    wet = rng.random(h.shape) < 0.5
    logs = np.abs(rng.standard_t(4, h.shape))
    x = np.where(wet, 0.1 * np.exp(logs), 0)
    proposed = np.where(wet, stats.t.pdf(logs, 4) / np.where(wet, x, 1), 0.5).prod((1, 2, 3))
    v, slopes = scale_of(RAIN).points(x, rng.random(h.shape))
    log_prob = density(torch.from_numpy(v), condition)[1] + torch.from_numpy(slopes.sum((1, 2, 3)))
    weights = log_prob.exp() / torch.from_numpy(proposed)
    in_unit = of_patterns(torch.from_numpy(wet), weights)
    assert in_unit.sum().item() == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(in_unit, masses, atol=0.02, rtol=0)


def test_points_are_encoded_and_decoded():
    model = model_of(seed=8, scales=2)
    y = coarse(4, 4)
    v = fields_of(y, 2)
    latents, log_prob = model.encode(v, y)
    back, same = model.decode(latents, y)
    torch.testing.assert_close(back, v, atol=1e-7, rtol=1e-7)
    torch.testing.assert_close(same, log_prob)
    assert model.sample(y.float(), candidates=3).shape == (1, 3, 1, 16, 16)


def test_a_file_has_the_field_and_a_batch_the_same_bits(tmp_path):
    model = model_of(seed=8, last=0.05, affine=0.05, scales=2).float()
    y = torch.cat([coarse(4, 4), coarse(4, 4, seed=5)]).float()
    g = torch.cat([fields_of(y[:1], 1), fields_of(y[1:], 1, seed=3)])
    scores = model.encode(g, y)[1]
    assert torch.equal(model.encode(g[1:], y[1:])[1], scores[1:])
    model.save(tmp_path / "m.safetensors")
    assert torch.equal(CAFlow.load(tmp_path / "m.safetensors").encode(g, y)[1], scores)
    wide = model.double().encode(g.double(), y.double())[1]
    torch.testing.assert_close(scores, wide, atol=0.02, rtol=0)


def test_a_point_below_the_bin_of_dry_cells_has_no_density():
    model = model_of(seed=9)
    y = coarse(2, 2)
    v = fields_of(y, 1)
    v[..., 3, 3] = -1.2
    assert model(v, y).log_prob.item() == -math.inf
    with pytest.raises(CaflowError):
        model.encode(v, y)


def test_a_field_needs_its_guide_and_its_guide_a_field():
    for fields in ({"guide": 0}, {"guide_net": "enlarge"}, {"anchor": "none"}, {"spread": 8}):
        with pytest.raises(CaflowError):
            flow_of(**fields)


def test_stored_pixels_are_no_field():
    y = torch.zeros(1, 2, 8, 8, dtype=torch.uint8)
    with pytest.raises(CaflowError, match="uint8"):
        model_of(seed=9).log_prob(y[:, :1], y)


def test_a_guide_learns_the_censored_likelihood_and_then_the_flows_the_rest():
    """Fields whose residuals are shared by 2×2 cells: the guide learns their scale, the flows that
    they are alike. R does not learn the density of what it reads."""
    flow = flow_of()
    model = helpers.seeded(lambda: CAFlow(Config(flow)), 0).train()
    optim = OptimConfig(images=1, cond_weight=0.5, guide_first=0.5)
    guide, flows = phases_of(optim, flow, SamplesConfig())
    assert guide.name == "guide (likelihood)"
    assert guide.guide_alone
    y = coarse(4, 4, dry=0.2).float().expand(16, -1, -1, -1)
    g = y[:, :1] + 6 * helpers.normal((16, 1, 8, 8), 3).float().repeat_interleave(
        2, 2
    ).repeat_interleave(2, 3)
    u = torch.rand(g.shape, generator=helpers.generator(4))
    batch = Batch(g.where(g >= 0, -1.0), y, u.where(g < 0, 0.0), torch.full((16,), -1))

    def trained(objective, parameters, steps):
        adam = torch.optim.Adam(parameters, 0.02)
        losses = []
        for _ in range(steps):
            terms = objective(model, batch)
            adam.zero_grad()
            terms.loss.backward()
            adam.step()
            losses.append(terms.bits_per_dim.item())
            assert terms.loss.item() == losses[-1]
        return losses

    alone = trained(guide.objective, model.density.A.guide.parameters(), 40)
    assert alone[-1] < alone[0] - 0.1
    model.density.A.requires_grad_(False)
    rest = [p for p in model.parameters() if p.requires_grad]
    together = trained(flows.objective, rest, 40)
    assert together[-1] < alone[-1] - 0.1


def test_the_lower_end_of_the_bin_of_dry_cells_has_a_density():
    """Uniform noise on a lattice is 0 now and then."""
    model = model_of(seed=9)
    y = coarse(2, 2)
    v = fields_of(y, 1)
    v[..., 3, 3] = -1
    assert model(v, y).log_prob.isfinite().all()
