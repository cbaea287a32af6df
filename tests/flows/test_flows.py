"""Flows, against densities that are known by other means, and their structure."""

import helpers
import pytest
import torch
from torch.distributions import MultivariateNormal, Normal

from caflow_cli.flows import (
    Autoregressive,
    ConditionalGaussian,
    ConditionalStep,
    Scale,
    SharedAutoregressive,
    standard_normal_log_prob,
)
from caflow_cli.flows.scale import latent_channels
from caflow_cli.flows.step import forward_through
from caflow_cli.layers import (
    ActNorm,
    ChannelAffine,
    ConvNet,
    Coupling,
    Injector,
    InvConv1x1,
    Squeeze,
)
from caflow_cli.layers.terms import bounded
from caflow_cli.model import CAFlow


def density(flow, x, cond=None):
    z, logdet = flow(x, cond)
    return logdet + sum(standard_normal_log_prob(t) for t in helpers.tensors(z))


@torch.no_grad()
def constant_nets(module, seed):
    """Nets that ignore what they read: their last bias alone, different in every channel."""
    helpers.randomize(module, seed)
    for child in module.modules():
        if isinstance(child, ConvNet):
            child.last.weight.zero_()
    return module.double().eval()


def gaussian(a, b):
    """The distribution of x if A x + b is standard normal: N(-A^-1 b, A^-1 A^-T)."""
    inverse = torch.linalg.inv(a)
    covariance = inverse @ inverse.T
    return MultivariateNormal(-inverse @ b, covariance_matrix=(covariance + covariance.T) / 2)


def links():
    """Of several kinds, with and without a condition."""
    cond = helpers.normal((2, 6, 2, 3), 5)
    layers = [(Squeeze(), None), (ChannelAffine(8), None), (Coupling(8, 6, 1.5), cond)]
    injector = helpers.randomize(Injector(8, 6, 1.5), 9).double()
    layers += [(injector, injector.read(cond).detach()), (ChannelAffine(8), None)]
    return [(helpers.randomize(f, k).double(), c) for k, (f, c) in enumerate(layers)]


@torch.no_grad()
def test_a_chain_is_its_layers_in_turn():
    chain, x = links(), helpers.normal((2, 2, 4, 6), 1)
    expected, terms = x, []
    for layer, cond in chain:
        expected, term = layer(expected, cond)
        terms.append(term)
    torch.testing.assert_close(forward_through(chain, x), (expected, sum(terms)))


@torch.no_grad()
def test_a_step_is_the_gaussian_that_its_parameters_say():
    """A and b written out from the parameters of actnorm, 1×1, injector and coupling."""
    flow = helpers.sizes(1, f_hidden=3)
    step = constant_nets(helpers.seeded(lambda: ConditionalStep(4, flow), 1), 10)
    cond = step.read(helpers.normal((1, 3, 1, 1), 11), helpers.normal((1, 3, 1, 1), 12))
    scale = torch.diag(step.affine.actnorm.log_scale.exp())
    a = InvConv1x1.weights([step.affine.invconv], torch.float64)[0] @ scale
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


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_in_training_transitions_are_a_part_of_the_first_step(steps):
    """One product of matrices for three maps: same values and gradients, fewer convolutions."""
    scale = helpers.randomize(Scale(0, 8, steps, helpers.sizes(1)), 3).double().train()
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

    assert len(scale.composed().transitions) == (0 if steps else 2)


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
    """A model with shared functions, and one without, whose functions are copies of these."""
    sizes = helpers.sizes(scales)
    shared = helpers.randomize(SharedAutoregressive(sizes), 3).double().eval()
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


def test_a_shared_actnorm_initializes_on_all_of_its_uses():
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
    gaussian = helpers.randomize(ConditionalGaussian(0, helpers.sizes(1)), 1).double().eval()
    l, d = helpers.normal((3, 4, 4, 4), 2), helpers.normal((3, 4, 4, 4), 3)
    (z,), logdet = gaussian(l, gaussian.read([d]))
    raw, mean = gaussian.net(d).chunk(2, dim=1)
    std = (2.0 * torch.tanh(raw / 2.0)).exp()
    expected = Normal(mean, std).log_prob(l).flatten(1).sum(1)
    torch.testing.assert_close(standard_normal_log_prob(z) + logdet, expected, rtol=0, atol=1e-10)


def test_nothing_passes_between_scales():
    config = helpers.small_config(target_channels=1, cond_channels=1, conditional="dual-glow")
    model = helpers.randomize(helpers.seeded(lambda: CAFlow(config), 1), 2).double().eval()
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
