"""Noise that a conditional flow draws: q is a density on the cube."""

import math

import helpers
import pytest
import torch

from caflow_cli.flows import VariationalNoise, standard_normal_log_prob


def test_q_integrates_to_one_over_the_cube():
    """Of a 1×2×2 image, squeezed one pixel: four values, on a grid in the logit of u."""
    q = helpers.seeded(lambda: VariationalNoise(1, 6, 1.0), 2)
    q = helpers.of_one_pixel(helpers.randomise(q, 3, last=0.3)).double().eval()
    w = torch.tensor([[10.0, 200.0], [90.0, 31.0]], dtype=torch.float64)[None, None]
    points = 16  # the sum is 0.997; with 28 it is 0.9998
    edge = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    # u = (1 - cos(π t)) / 2 crowds the grid where the density changes fast, at 0 and 1.
    axis, weight = (1 - torch.cos(math.pi * edge)) / 2, math.pi / 2 * torch.sin(math.pi * edge)
    u = torch.cartesian_prod(*[axis] * 4).view(-1, 1, 2, 2)
    weights = torch.cartesian_prod(*[weight / points] * 4).prod(1)
    total = 0.0
    with torch.no_grad():
        for part, part_weights in zip(u.split(50_000), weights.split(50_000), strict=True):
            noise, logdet = q.inverse(part, w.expand(len(part), -1, -1, -1))
            total += float(((standard_normal_log_prob(noise) + logdet).exp() * part_weights).sum())
    assert total == pytest.approx(1, abs=0.01)
