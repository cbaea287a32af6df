"""Pixels and the real line: noise, rounding, the logit."""

import math

import helpers
import pytest
import torch

from caflow_cli.flows import VariationalNoise, standard_normal_log_prob
from caflow_cli.flows.dequantize import NOISE_LEVELS, uniform_noise
from caflow_cli.layers import to_stored


def test_noise_lies_on_the_lattice():
    noise = helpers.first_noise((3, 64, 64), 2)
    assert noise.dtype == torch.float32
    assert noise.shape == (2, 3, 64, 64)
    assert noise.min() >= 0
    assert noise.max() < 1
    assert NOISE_LEVELS == 2**16
    assert torch.equal((noise.double() * 2**16).floor(), noise.double() * 2**16)
    assert noise.mean() == pytest.approx(0.5, abs=0.01)
    assert noise.var() == pytest.approx(1 / 12, abs=0.002)


def test_pixel_plus_noise_is_exact_in_float32_and_stays_in_its_bin():
    w = torch.arange(256, dtype=torch.uint8)[:, None]
    u = torch.arange(2**16) / 2**16
    v = w.float() + u
    assert torch.equal(v.double(), w.double() + u.double())
    assert torch.equal(to_stored(v, 1), w.expand_as(v))


def test_the_noise_of_scores_is_pinned():
    """These digits are part of every published log-likelihood: they never change."""
    draws = helpers.first_noise((3, 4, 4), 2).flatten(1)[:, :3] * NOISE_LEVELS
    assert draws.int().tolist() == [[36288, 59689, 14411], [58839, 13321, 54168]]
    other = uniform_noise((2,), helpers.generator(0)) * NOISE_LEVELS
    assert other.int().tolist() == [2732, 43567]


def test_stored_values_are_floors_and_clamped():
    v = torch.tensor([-3.2, -0.01, 0.0, 0.99, 1.0, 254.999, 255.0, 255.99, 256.0, 300.0])
    assert to_stored(v, 1).tolist() == [0, 0, 0, 0, 1, 254, 255, 255, 255, 255]
    assert to_stored(v, 1).dtype == torch.uint8


def test_q_integrates_to_one_over_the_cube():
    """Of a 1×2×2 image, squeezed one pixel: four values, on a grid in the logit of u."""
    q = helpers.seeded(lambda: VariationalNoise(helpers.sizes(1, scale_bound=1.0)), 2)
    q = helpers.of_one_pixel(helpers.randomize(q, 3, last=0.3)).double().eval()
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
