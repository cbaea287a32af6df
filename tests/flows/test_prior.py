"""The prior of every latent."""

import helpers
import torch

from caflow_cli.flows import standard_normal_log_prob
from caflow_cli.layers.terms import observed


def test_standard_normal_prior():
    z = helpers.normal((3, 2, 4, 4), 1)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).flatten(1).sum(1)
    torch.testing.assert_close(standard_normal_log_prob(z), expected, rtol=0, atol=1e-10)
    assert standard_normal_log_prob(z.float()).dtype == torch.float64


def test_where_a_score_divides_by_the_density_its_sign_turns():
    z = helpers.normal((3, 2, 4, 4), 1)
    assert torch.equal(standard_normal_log_prob(z, -1), -standard_normal_log_prob(z))
    terms = []
    with observed(terms.append):
        log_prob = standard_normal_log_prob(z, -1)
    torch.testing.assert_close(terms[0].flatten(1).sum(1), log_prob, rtol=0, atol=1e-10)
