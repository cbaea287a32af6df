"""FID and KID against closed forms, scipy, and the definition."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import torch

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import sets
from caflow_cli.evaluation.sets import SetFeatures, fid, kid


def features(seed: int, count: int = 300, d: int = 12, scale: float = 1.0, shift: float = 0.0):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=generator, dtype=torch.float64) * scale
    return torch.randn(count, d, generator=generator, dtype=torch.float64) @ mix + shift


def stats(values: torch.Tensor, keep: bool = False, batch: int = 64) -> SetFeatures:
    result = SetFeatures("test", keep)
    for part in values.split(batch):
        result.add(part)
    return result


def test_streamed_statistics_are_those_of_the_whole() -> None:
    values = features(0)
    side = stats(values)
    assert side.count == 300
    assert side.mean.numpy() == pytest.approx(values.mean(0).numpy())
    assert side.covariance.numpy() == pytest.approx(np.cov(values.numpy(), rowvar=False))


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


def test_kept_features_are_a_bounded_random_sample(monkeypatch) -> None:
    monkeypatch.setattr(sets, "_RESERVOIR", 50)
    values = torch.arange(2000, dtype=torch.float64)[:, None]
    kept = stats(values, True, batch=170).features.flatten()
    assert len(kept) == len(kept.unique()) == 50
    assert kept.mean() == pytest.approx(1000, abs=3 * 2000 / 12**0.5 / 50**0.5)


def test_saved_statistics_come_back(tmp_path) -> None:
    a, b = stats(features(6)), stats(features(7))
    path = tmp_path / "a.npz"
    a.save(path)
    again = SetFeatures.load(path, "test")
    assert again.count == 300
    assert again.count_is_known
    assert fid(again, b) == pytest.approx(fid(a, b), rel=1e-9)
    with pytest.raises(CaflowError, match="needs the pictures"):
        kid(again, stats(features(7), True))
    with pytest.raises(CaflowError, match="of extractor 'test', not 'inception'"):
        SetFeatures.load(path, "inception")


def test_statistics_of_others_need_mu_and_sigma_only(tmp_path) -> None:
    a, b = features(6), stats(features(7))
    path = tmp_path / "other.npz"
    np.savez(path, mu=a.mean(0).numpy(), sigma=np.cov(a.numpy(), rowvar=False))
    again = SetFeatures.load(path, "inception")
    assert not again.count_is_known
    assert fid(again, b) == pytest.approx(fid(stats(a), b), rel=1e-9)


@pytest.mark.parametrize(
    "content",
    [
        {"mu": np.zeros(3)},
        {"mu": np.zeros(3), "sigma": np.zeros((2, 2))},
        {"mu": np.full(3, np.nan), "sigma": np.eye(3)},
        {"mu": np.zeros(3), "sigma": np.eye(3), "n": 1},
        {"mu": np.array([{}], dtype=object), "sigma": np.eye(1)},  # a pickle
    ],
)
def test_what_holds_no_statistics_is_refused(tmp_path, content) -> None:
    path = tmp_path / "bad.npz"
    np.savez(path, **content)
    with pytest.raises(CaflowError, match="holds no statistics") as caught:
        SetFeatures.load(path, "inception")
    assert caught.value.exit_code == 2
    path.write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(CaflowError, match="holds no statistics"):
        SetFeatures.load(path, "inception")


def test_a_set_of_one_has_no_distance() -> None:
    with pytest.raises(CaflowError, match="generated set has 1 pictures"):
        fid(stats(features(1, 1)), stats(features(2)))
