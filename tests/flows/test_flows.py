"""Flows, against densities that are known by other means, and their structure."""

import math

import helpers
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from caflow_cli.flows import (
    Autoregressive,
    ConditionalFlow,
    ConditionalGaussian,
    ConditionalScale,
    ConditionalStep,
    MultiScaleFlow,
    Scale,
    SharedAutoregressive,
    standard_normal_log_prob,
)
from caflow_cli.flows.conditional import latent_layout
from caflow_cli.flows.multiscale import latent_channels
from caflow_cli.flows.step import Link, forward_through, inverse_through
from caflow_cli.layers import ActNorm, ChannelAffine, ConvNet, Coupling, Injector, Squeeze
from caflow_cli.layers.terms import bounded
from caflow_cli.model import CAFlow


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


def links():
    """Of several kinds, with and without a condition."""
    cond = helpers.normal((2, 6, 2, 3), 5)
    layers = [(Squeeze(), None), (ChannelAffine(8), None), (Coupling(8, 6, 1.5), cond)]
    injector = helpers.randomise(Injector(8, 6, 1.5), 9).double()
    layers += [(injector, injector.read(cond).detach()), (ChannelAffine(8), None)]
    return [Link(helpers.randomise(f, k).double(), c) for k, (f, c) in enumerate(layers)]


def test_a_chain_is_its_layers_in_turn_recomputed_with_the_same_gradient():
    chain, x = links(), helpers.normal((2, 2, 4, 6), 1).requires_grad_()
    runs = []
    chain[2].layer.register_forward_pre_hook(lambda *_: runs.append(1))

    def gradient(again):
        y, logdet = forward_through(chain, x, again)
        (gradient,) = torch.autograd.grad(y.square().sum() + logdet.sum(), x)
        return gradient

    expected, terms = x, []
    for layer, cond, _ in chain:
        expected, term = layer(expected, cond)
        terms.append(term)
    torch.testing.assert_close(forward_through(chain, x), (expected, sum(terms)))
    expected = gradient(False)
    runs.clear()
    torch.testing.assert_close(gradient(True), expected, rtol=0, atol=1e-12)
    assert len(runs) == 2


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


@pytest.mark.parametrize("seed", [20, 22])
@torch.no_grad()
def test_a_stack_of_conditional_steps_integrates_to_one(seed):
    build = lambda: torch.nn.ModuleList(ConditionalStep(2, 8, 2.0) for _ in range(4))  # noqa: E731
    stack = helpers.randomise(helpers.seeded(build, 2), seed=17, last=0.7)
    stack = helpers.of_one_pixel(stack).double().eval()
    cond = helpers.normal((1, 8, 1, 1), seed), helpers.normal((1, 8, 1, 1), seed + 100)
    chain = [Link(step, step.read(*cond)) for step in stack]
    drawn, _ = inverse_through(chain, helpers.normal((5_000, 2, 1, 1), 18))
    # A box around all draws with half a width to spare on each side, and a fine grid in it.
    low, high = drawn.flatten(1).amin(0), drawn.flatten(1).amax(0)
    low, high = low - (high - low) / 2, high + (high - low) / 2
    points = 160  # off by 1e-5 at most, as finer grids show
    cells = (high - low) / points
    axes = [low[k] + cells[k] * (torch.arange(points).double() + 0.5) for k in (0, 1)]
    grid = torch.cartesian_prod(*axes)[:, :, None, None]
    z, logdet = forward_through(chain, grid)
    log_prob = logdet + standard_normal_log_prob(z)
    integral = log_prob.exp().sum() * cells.prod()
    assert integral.item() == pytest.approx(1, abs=1e-4)
    # It is no Gaussian of the base's: the integral shows something.
    spread = log_prob - standard_normal_log_prob(grid)
    assert spread[log_prob > math.log(1e-3)].std() > 0.1


@torch.no_grad()
@pytest.mark.parametrize("trunk", [0, 7])
def test_every_step_reads_its_own_features(trunk):
    """The condition of a scale is embedded at once: each net gets a part that no other one gets."""
    scale = helpers.randomise(ConditionalScale(8, 3, 0, 3, 5, 2.0, trunk)).double()
    parts = [part for step in scale.read(helpers.normal((2, 3, 4, 4), 1)).steps for part in step]
    assert [part.shape[1] for part in parts] == [16, 5] * 3  # scale and bias of 8 channels
    assert len({round(float(part.sum()), 9) for part in parts}) == 6


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

    a, _ = affine_map(lambda p: scale(p, scale.read(0 * p[:1]))[0], x)
    zero = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    shift, b = affine_map(lambda p: scale(zero.expand_as(p), scale.read(p))[0], c)
    assert shift.abs().max() > 0.1
    for x_i, c_i in zip(x, c, strict=True):
        expected = gaussian(a, shift @ c_i.flatten() + b).log_prob(x_i.flatten())
        log_prob = density(scale, x_i[None], scale.read(c_i[None]))[0]
        torch.testing.assert_close(log_prob, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_in_training_transitions_are_a_part_of_the_first_step(steps):
    """One product of matrices for three maps: same values and gradients, fewer convolutions."""
    scale = helpers.randomise(Scale(8, steps, 5, 2.0), 3).double().train()
    x = helpers.normal((2, 2, 4, 6), 4).requires_grad_()
    values = [x, *scale.parameters()]

    def outcome():
        y, logdet = scale(x)
        gradients = torch.autograd.grad((y * y.detach().cos()).sum() + logdet.sum(), values)
        return y, logdet, *gradients

    together = outcome()
    one_by_one = [*scale.transitions, *scale.steps]
    y, logdet = scale.squeeze(x)
    for layer in one_by_one:
        y, term = layer(y)
        logdet = logdet + term
    expected = y, logdet, *torch.autograd.grad((y * y.detach().cos()).sum() + logdet.sum(), values)
    for found, stated in zip(together, expected, strict=True):
        torch.testing.assert_close(found, stated, rtol=1e-11, atol=1e-10)

    ran = []
    for layer in one_by_one:
        layer.register_forward_hook(lambda layer, *_: ran.append(layer))
    scale(x)
    assert ran == (list(scale.steps) if steps else one_by_one)


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


@pytest.mark.parametrize("scales", [1, 3, 4])
def test_latents_hold_as_many_values_as_the_image(scales):
    layout = latent_layout(3, scales)
    assert [len(row) for row in layout] == list(range(1, scales + 1))
    side = 2 ** (scales + 1)
    assert sum(c * (side >> h) ** 2 for row in layout for c, h in row) == 3 * side**2
    if scales == 3:
        assert layout == [[(192, 4)], [(96, 4), (24, 3)], [(96, 4), (24, 3), (12, 2)]]


BATCH = 2


def pyramid(scales, seed, batch=BATCH):
    side = 2 ** (scales + 1)
    return [
        helpers.normal(
            (batch, latent_channels(1, i, scales), *[side >> (scales - i)] * 2), seed + i
        )
        for i in range(scales)
    ]


def pair(scales):
    """A shared model, and one that does not share whose functions are copies of the shared."""
    sizes = helpers.sizes(scales)
    shared = helpers.randomise(SharedAutoregressive(sizes), 3).double().eval()
    plain = Autoregressive(sizes).double().eval()
    for i, flow in enumerate(plain):
        for j, function in enumerate(flow.functions):
            source = shared.own[i] if i == j else shared.shared[j]
            function.load_state_dict(source.state_dict())
    return shared, plain


@pytest.mark.parametrize("scales", [1, 2, 4])
def test_sharing_is_the_plain_model_with_equal_weights(scales):
    shared, plain = pair(scales)
    l, d = pyramid(scales, 10), pyramid(scales, 20)
    cond, plain_cond = shared.read(d), plain.read(d)
    (z, logdet), (expected, expected_logdet) = shared(l, cond), plain(l, plain_cond)
    torch.testing.assert_close(z, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(logdet, expected_logdet, rtol=0, atol=1e-10)
    back, _ = shared.inverse(z, cond)
    torch.testing.assert_close(back, plain.inverse(z, plain_cond)[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("scales", [1, 2, 5])
def test_the_number_of_functions(scales):
    sizes = helpers.sizes(scales, f_hidden=4)
    plain, shared = Autoregressive(sizes), SharedAutoregressive(sizes)
    assert sum(len(flow.functions) for flow in plain) == scales * (scales + 1) // 2
    assert len(shared.own) + len(shared.shared) == 2 * scales - 1
    parameters = [sum(p.numel() for p in model.parameters()) for model in (plain, shared)]
    assert (parameters[1] < parameters[0]) == (scales > 2)


def test_a_shared_actnorm_initialises_on_all_of_its_uses():
    scales = 3
    model = SharedAutoregressive(helpers.sizes(scales)).double().train()
    seen = {}
    actnorm = model.shared[0].transitions[0].actnorm
    model.shared[0].transitions[0].register_forward_pre_hook(
        lambda module, args: seen.setdefault("x", args[0].clone())
    )
    model(pyramid(scales, 30, 6), model.read(pyramid(scales, 40, 6)))
    x = seen["x"]
    assert x.shape[0] == 2 * 6  # f_0 of F_1 and of F_2
    torch.testing.assert_close(actnorm.bias.detach(), -x.mean((0, 2, 3)))
    torch.testing.assert_close(
        actnorm.log_scale.detach(), -x.var((0, 2, 3), unbiased=False).log() / 2
    )
    assert all(m.initialized for m in model.modules() if isinstance(m, ActNorm))


def test_it_is_the_normal_distribution_that_its_net_states():
    gaussian = helpers.randomise(ConditionalGaussian(4, 2, 6, 2.0), 1).double().eval()
    l, d = helpers.normal((3, 4, 4, 4), 2), helpers.normal((3, 2, 4, 4), 3)
    z, logdet = gaussian(l, gaussian.read(d))
    raw, mean = gaussian.net(d).chunk(2, dim=1)
    std = (2.0 * torch.tanh(raw / 2.0)).exp()
    expected = Normal(mean, std).log_prob(l).flatten(1).sum(1)
    torch.testing.assert_close(standard_normal_log_prob(z) + logdet, expected, rtol=0, atol=1e-10)


def test_nothing_passes_between_scales():
    config = helpers.small_config(target_channels=1, cond_channels=1, conditional="dual-glow")
    model = helpers.randomise(helpers.seeded(lambda: CAFlow(config), 1), 2).double().eval()
    with torch.no_grad():
        l, _ = model.density.T(helpers.normal((1, 1, 32, 32), 3))
        d, _ = model.density.R(helpers.normal((1, 1, 32, 32), 4))
    l, d = ([t.requires_grad_() for t in values] for values in (l, d))
    flows = model.density.F
    z, _ = flows(l, flows.read(d))
    for i, (z_i,) in enumerate(z):
        weights = helpers.normal(z_i.shape, 5)
        gradients = torch.autograd.grad((z_i * weights).sum(), [*l, *d], allow_unused=True)
        depends = [g is not None and bool(g.any()) for g in gradients]
        assert depends == [k == i for k in range(3)] * 2
