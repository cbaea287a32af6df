"""FID and KID against closed forms, scipy, and the definition."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch
from evaluation.random_features import features, stats

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.metrics.frechet import fid, kid


def test_fid_of_gaussians_that_commute_is_a_sum_of_squares() -> None:
    # Diagonal covariances: |m - m'|² + Σ (s - s')².
    values = features(1)
    values = (values - values.mean(0)) @ torch.linalg.inv(
        torch.linalg.cholesky(torch.from_numpy(np.cov(values.numpy(), rowvar=False))).T
    )
    s = torch.arange(1, 13, dtype=torch.float64)
    a, b = stats(values * s), stats(values * (s + 2) + 3)
    assert fid(a, b) == pytest.approx(12 * 3**2 + 12 * 2**2, rel=1e-9)
    assert fid(a, a) == pytest.approx(0, abs=1e-9)


def test_fid_is_scipys() -> None:
    a, b = features(2), features(3, count=200, scale=1.4, shift=0.3)
    ca, cb = (np.cov(x.numpy(), rowvar=False) for x in (a, b))
    difference = (a.mean(0) - b.mean(0)).square().sum().item()
    expected = difference + np.trace(ca + cb - 2 * scipy.linalg.sqrtm(ca @ cb).real)
    assert fid(stats(a), stats(b)) == pytest.approx(expected, rel=1e-9)


def test_kid_is_the_unbiased_mmd() -> None:
    a, b = features(4, 90), features(5, 90, shift=0.2)

    def kernel(x, y):
        return (x @ y.T / 12 + 1) ** 3

    n = len(a)
    inner = [(kernel(x, x).sum() - kernel(x, x).diag().sum()) / (n * (n - 1)) for x in (a, b)]
    expected = float(sum(inner) - 2 * kernel(a, b).mean())
    assert kid(stats(a, True), stats(b, True)) == pytest.approx((expected, 0.0), rel=1e-9)


def test_kid_of_unequal_sets_repeats_itself_and_leaves_the_global_generator_alone() -> None:
    a, b = stats(features(4, 60), True), stats(features(5, 90, shift=1.0), True)
    torch.manual_seed(3)
    first = kid(a, b)
    drawn = torch.rand(1)
    torch.manual_seed(4)
    assert kid(a, b) == first
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), drawn)
    assert first[1] > 0


def test_a_set_of_one_has_no_distance() -> None:
    with pytest.raises(CaflowError, match="generated set has 1 pictures"):
        fid(stats(features(1, 1)), stats(features(2)))
