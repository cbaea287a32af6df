"""A new kind of value, as CONTRIBUTING.md describes it: a share in (0, 1), by its logit."""

import numpy as np
import pytest
import tifffile
from scipy.special import expit, logit
from small_fields import field, model_of, rain

from caflow_cli import load, restore, score
from caflow_cli.config import Values
from caflow_cli.fields.project import areas_of, joined, means_of
from caflow_cli.fields.scale import SCALES, Linear, scale_of

_LEAST = 1e-4  # share


class Logit(Linear):
    """The scale of shares: `g = 2 log(x / (1 - x))`; 0 and 1 count as the least and largest."""

    def levels(self, x, cells=1):
        return 2 * logit(np.clip(np.asarray(x, np.float64), _LEAST, 1 - _LEAST))

    def values(self, v):
        return expit(np.asarray(v, np.float64) / 2)

    def log_slope(self, x):
        x = np.clip(np.asarray(x, np.float64), _LEAST, 1 - _LEAST)
        return np.where(self.is_wet(x), np.log(2 / (x * (1 - x))), 0.0)

    def project(self, x, means):
        """Shift the logits of each area, by bisection, until its mean is exact."""
        factor = x.shape[-1] // means.shape[-1]
        points = logit(areas_of(np.clip(x.astype(np.float64), 1e-9, 1 - 1e-9), factor))
        low, high = np.full((2, *means.shape), [[[-50.0]], [[50.0]]])
        for _ in range(60):
            middle = (low + high) / 2
            above = expit(points + middle[..., None]).mean(-1) > means
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        shares = np.where(np.isnan(means), np.nan, (low + high) / 2)[..., None]
        return joined(expit(points + shares), factor).astype(means.dtype)


@pytest.fixture
def logits(monkeypatch):
    monkeypatch.setitem(SCALES, "logit", Logit)
    return scale_of(Values("1", "logit", 0, 1))


def test_the_slope_is_that_of_differences(logits):
    x = np.linspace(0.01, 0.99, 50)
    slope = (logits.levels(x + 1e-6) - logits.levels(x - 1e-6)) / 2e-6
    np.testing.assert_allclose(logits.log_slope(x), np.log(slope), atol=1e-6)
    np.testing.assert_allclose(logits.values(logits.levels(x)), x, atol=1e-12)


def test_members_are_shares_with_exact_means_and_a_score(logits, tmp_path):
    model = model_of(Values("1", "logit", 0, 1)).float()
    model.save(tmp_path / "shares.safetensors")
    model = load(tmp_path / "shares.safetensors")
    coarse = np.random.default_rng(0).beta(0.4, 0.4, (6, 7)).astype(np.float32)
    members = restore(model, field(coarse, "1"), 1.0, 3, seed=4)
    for member in (candidate.image for candidate in members.ranked):
        assert ((member >= 0) & (member <= 1)).all()
        assert member.std() > 0.05
        np.testing.assert_allclose(means_of(member, 4), coarse, atol=1e-6)
    found = score(model, field(coarse, "1"), field(member, "1"))
    assert np.isfinite(found.log_likelihood)
    assert found.unit == "1"


def test_a_run_learns_shares(logits, tmp_path, run):
    for split in ("train", "val", "test"):
        (tmp_path / "shares" / split).mkdir(parents=True)
        for k in range(3):
            x = expit(np.log(rain(8, 8, k) + 0.05)).astype(np.float32)
            path = tmp_path / "shares" / split / f"{k}.tif"
            tifffile.imwrite(path, x, description='{"unit": "1"}')
    small = [f"flow.{key}" for key in ("scales=1", "hidden=8", "guide=8", "t_steps=1", "f_steps=1")]
    sizes = [word for key in [*small, "task.size=16"] for word in ("--set", key)]
    command = ["train", "--task", "superres", "--data", "shares", "--out", "run", *sizes]
    done = run(*command, "--unit", 1, "--transform", "logit", "--images", 16, "--batch-size", 4)
    assert done.returncode == 0, done.stderr
    assert load(tmp_path / "run").config.task.values.transform == "logit"
    refused = run(*command[:-2], "--unit", 1, "--transform", "log", "--images", 16)
    assert b"task.values.transform is 'log'" in refused.stderr
    assert b"linear, db, relative, logit" in refused.stderr
