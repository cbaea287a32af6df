"""Intervals: the arithmetic of conformal risk control."""

import numpy as np
import pytest

from caflow_cli.intervals.bounds import (
    LAMBDAS,
    bounds,
    first_controlled,
    least_images,
    risks,
)
from caflow_cli.restoration import moments


def random_moments(shape, seed):
    generator = np.random.default_rng(seed)
    mean = generator.uniform(0, 255, shape).astype(np.float32)
    deviation = generator.gamma(1.0, 4.0, shape).astype(np.float32)
    return mean, deviation, generator


def test_moments_are_those_of_numpy():
    images = np.random.default_rng(0).integers(0, 256, (7, 5, 6, 3), dtype=np.uint8)
    mean, variance = moments(iter(images))
    assert mean == pytest.approx(images.mean(0), rel=1e-6)
    assert variance == pytest.approx(images.var(0, ddof=1), rel=1e-5)


def test_bounds_are_those_of_the_definition():
    mean = np.array([10.0, 10.5, 3.0, 250.0], np.float32)
    deviation = np.array([0.0, 1.0, 4.0, 9.0], np.float32)
    low, high = bounds(mean, deviation, 1.5)
    assert low.tolist() == [8, 7, 0, 235]
    assert high.tolist() == [12, 14, 11, 255]
    assert low.dtype == high.dtype == np.uint8


@pytest.mark.parametrize("constant", [False, True])
def test_risks_are_the_shares_outside_of_bounds_and_never_rise(constant):
    mean, deviation, generator = random_moments((40, 30, 3), 1)
    truth = generator.integers(0, 256, mean.shape, dtype=np.uint8)
    if constant:  # all candidates are equal, so that every t is a whole number
        mean, deviation = np.rint(mean), np.zeros_like(deviation)
    curve = risks(truth, mean, deviation)
    assert curve.shape == LAMBDAS.shape
    assert (np.diff(curve) <= 0).all()
    assert curve[-1] == pytest.approx(0, abs=1e-12)
    for index in (0, 7, 100, 164, 1000, 25_400):
        low, high = bounds(mean, deviation, LAMBDAS[index])
        outside = (truth < low) | (truth > high)
        assert curve[index] == pytest.approx(outside.mean())


def test_the_least_number_of_images_is_that_of_the_level():
    assert [least_images(level) for level in (0.5, 0.8, 0.9, 0.95, 0.99)] == [1, 4, 9, 19, 99]
    for level in (0.5, 0.8, 0.9, 0.95, 0.99):
        nothing = np.array([1.0, 0.0])  # the risk is 1 or 0
        assert first_controlled(nothing, least_images(level), level) == 1
    # With fewer images no risk is small enough; the first index is meaningless.
    assert first_controlled(np.zeros(2), 8, 0.9) == 0
    assert (8 * 0 + 1) / 9 > 1 - 0.9


def test_the_calibrated_value_is_the_smallest_that_fulfills_the_bound():
    mean_risks = np.array([0.5, 0.2, 0.095, 0.0943, 0.09, 0.0])
    # (100 risk + 1) / 101 <= 0.1 where risk <= 0.091
    assert first_controlled(mean_risks, 100, 0.9) == 4
    assert first_controlled(np.stack([mean_risks, mean_risks**2]), 100, 0.9).tolist() == [4, 1]


@pytest.mark.parametrize("images", [20, 100])
def test_the_mean_risk_of_exchangeable_images_is_at_most_one_minus_the_level(images):
    """2,000 calibrations, each on images that a model is wrong about to different degrees."""
    generator = np.random.default_rng(images)
    pool, values, repetitions = 1500, 48, 2000
    scale = generator.lognormal(1.5, 0.8, (pool, 1))  # of what the model does not know
    center = generator.uniform(60, 190, (pool, values))
    candidates = center + 0.4 * scale * generator.standard_normal((10, pool, values))
    truth = center + scale * generator.standard_normal((pool, values))
    truth = np.rint(truth).clip(0, 255).astype(np.uint8)
    every = np.rint(candidates).clip(0, 255).astype(np.uint8)
    mean, variance = moments(every)
    curves = np.stack([risks(*one)[::20] for one in zip(truth, mean, variance**0.5, strict=True)])
    drawn = generator.integers(0, pool, (repetitions, images + 1))
    # The mean curve of each calibration, as a product with counts of the images in it.
    counts = np.stack([np.bincount(row, minlength=pool) for row in drawn[:, :-1]])
    chosen = first_controlled(counts @ curves / images, images, 0.9)
    risk = curves[drawn[:, -1], chosen]
    error = risk.std() / repetitions**0.5
    assert risk.mean() <= 0.1
    assert risk.mean() >= 0.1 - 2 / (images + 1) - 3 * error  # and it is no wider than it must be
