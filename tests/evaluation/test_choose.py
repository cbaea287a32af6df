"""The temperature that a trained model is given."""

import os
import shutil

import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import Weights, choose_temperature, evaluate
from caflow_cli.evaluation.choose import temperatures


@pytest.fixture
def with_val(true_images, tmp_path):
    shutil.copytree(true_images / "test", tmp_path / "data" / "val")
    return tmp_path / "data"


def test_the_choice_has_the_lowest_lpips_within_the_bound_on_rmse(models_32, with_val):
    if "CAFLOW_LPIPS_WEIGHTS" not in os.environ:
        pytest.skip("CAFLOW_LPIPS_WEIGHTS is not set")
    model = models_32["superres"]
    found = choose_temperature(model, with_val, limit=1)
    settings = {"split": "val", "limit": 1, "candidates": 1}
    tried = temperatures(model.config.flow)
    swept = evaluate(model, with_val, ("rmse", "lpips"), tau=tried, **settings)
    means = {
        row.cell.tau: (row.values["rmse"].mean, row.values["lpips"].mean)
        for row in swept.results
        if row.what == "model"
    }
    limit = 1.1 * min(rmse for rmse, _ in means.values())
    assert any(rmse > limit for rmse, _ in means.values())
    best = min((lpips, tau) for tau, (rmse, lpips) in means.items() if rmse <= limit)[1]
    assert found.tau == best
    assert (found.rmse, found.lpips) == pytest.approx(means[best])
    assert (found.images, found.baseline) == (1, "bicubic")
    assert found.as_json()["tau"] == best.as_json()


def test_without_lpips_the_temperature_stays(models_32, with_val, monkeypatch, tmp_path):
    monkeypatch.setenv("CAFLOW_LPIPS_WEIGHTS", "")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    found = choose_temperature(models_32["colorize"], with_val)
    assert (str(found.tau), found.lpips, found.images) == ("0.85", None, 5)
    with pytest.raises(CaflowError, match="no LPIPS trunk"):
        choose_temperature(models_32["colorize"], with_val, weights=Weights(lpips="gone"))
