from __future__ import annotations

import json
import math

import pytest

from caflow_cli.evaluation.estimates import RunningMean, RunningRatio


def test_equal_pictures_have_infinite_psnr_and_json_says_null():
    running = RunningMean()
    for value in (30.0, None):
        running.add(value)
    estimate = running.estimate
    assert math.isinf(estimate.mean)
    text = json.dumps(estimate.as_json(), allow_nan=False)
    assert json.loads(text) == {"mean": None, "standard_error": None, "count": 2}


def test_running_is_the_mean_and_its_standard_error():
    running = RunningMean()
    for value in (1e9 + 1, 1e9 + 2, 1e9 + 6):
        running.add(value)
    assert running.estimate.mean == 1e9 + 3
    assert running.estimate.standard_error == pytest.approx((14 / 2 / 3) ** 0.5)


def test_a_ratio_of_means_has_the_error_of_the_delta_method():
    over, under = [3.0, 5.0, 4.0, 8.0], [1.0, 2.0, 3.0, 4.0]
    running = RunningRatio()
    assert running.estimate is None
    for a, b in zip(over, under, strict=True):
        running.add(a, b)
    estimate = running.estimate
    assert estimate.mean == 2.0
    residuals = [a - 2 * b for a, b in zip(over, under, strict=True)]  # their mean is 0
    spread = sum(r * r for r in residuals) / 3
    assert estimate.standard_error == pytest.approx((spread / 4) ** 0.5 / 2.5)
    assert estimate.count == 4


def test_a_constant_ratio_has_no_error_and_one_picture_says_none():
    running = RunningRatio()
    running.add(0.3, 0.1)
    assert running.estimate.standard_error is None
    running.add(0.6, 0.2)
    assert running.estimate.mean == pytest.approx(3)
    assert running.estimate.standard_error == pytest.approx(0, abs=1e-7)
