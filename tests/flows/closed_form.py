"""Densities that are known by other means: linear-Gaussian flows, and integrals that are 1."""

import helpers
import torch
from torch.distributions import MultivariateNormal

from caflow_cli.flows import (
    standard_normal_log_prob,
)
from caflow_cli.layers import ConvNet


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
