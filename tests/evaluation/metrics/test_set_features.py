"""Statistics of a set, streamed, saved, and read from others' files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from evaluation.random_features import features, stats

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.metrics import set_features
from caflow_cli.evaluation.metrics.frechet import fid, kid
from caflow_cli.evaluation.metrics.set_features import SetFeatures


def test_streamed_statistics_are_those_of_the_whole() -> None:
    values = features(0)
    side = stats(values)
    assert side.count == 300
    assert side.mean.numpy() == pytest.approx(values.mean(0).numpy())
    assert side.covariance.numpy() == pytest.approx(np.cov(values.numpy(), rowvar=False))


def test_kept_features_are_a_bounded_random_sample(monkeypatch) -> None:
    monkeypatch.setattr(set_features, "_RESERVOIR", 50)
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
    with pytest.raises(CaflowError, match="need the pictures"):
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
