"""The prior of every latent."""

import helpers
import torch

from caflow_cli.flows import (
    standard_normal_log_prob,
)


def test_standard_normal_prior():
    z = helpers.normal((3, 2, 4, 4), 1)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).flatten(1).sum(1)
    torch.testing.assert_close(standard_normal_log_prob(z), expected, rtol=0, atol=1e-10)
    assert standard_normal_log_prob(z.float()).dtype == torch.float64
