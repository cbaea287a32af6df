"""Pixels and the real line: noise, rounding, the logit."""

import helpers
import pytest
import torch

from caflow_cli.flows import to_uint8
from caflow_cli.flows.dequantize import NOISE_LEVELS, uniform_noise


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
    assert torch.equal(to_uint8(v), w.expand_as(v))


def test_first_draws_of_more_are_the_draws():
    four, two = helpers.first_noise((3, 8, 8), 4), helpers.first_noise((3, 8, 8), 2)
    assert torch.equal(four[:2], two)
    assert not torch.equal(four[0], four[1])


def test_fixed_noise_ignores_and_spares_the_global_generator():
    state = torch.get_rng_state()
    first = helpers.first_noise((1, 4, 4), 1)
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(5)
    assert torch.equal(first, helpers.first_noise((1, 4, 4), 1))


def test_the_noise_of_scores_is_pinned():
    """These digits are part of every published log-likelihood: they never change."""
    first = (helpers.first_noise((3, 4, 4), 1).flatten()[:4] * NOISE_LEVELS).int().tolist()
    assert first == [36288, 59689, 14411, 26231]
    other = uniform_noise((2,), helpers.generator(0)) * NOISE_LEVELS
    assert other.int().tolist() == [2732, 43567]


def test_to_uint8_floors_and_clamps():
    v = torch.tensor([-3.2, -0.01, 0.0, 0.99, 1.0, 254.999, 255.0, 255.99, 256.0, 300.0])
    assert to_uint8(v).tolist() == [0, 0, 0, 0, 1, 254, 255, 255, 255, 255]
    assert to_uint8(v).dtype == torch.uint8
