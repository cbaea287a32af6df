"""The baseline: independent diagonal Gaussians (equation 6)."""

import helpers
import torch
from torch.distributions import Normal

from caflow_cli.flows import ConditionalGaussian, standard_normal_log_prob
from caflow_cli.model import CAFlow


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
