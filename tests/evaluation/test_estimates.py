from __future__ import annotations

import json
import math

import pytest

from caflow_cli.evaluation.estimates import RunningMean


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
