"""Density, coverage, FID and KID against definitions, closed forms and scipy; kept statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from evaluation.random_features import LABEL, QUICK, features, quarters, stats

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import evaluate
from caflow_cli.evaluation.metrics.sets import SetFeatures, coverage, fid, kid, own_coverage
from caflow_cli.images import read_image
from caflow_cli.inference import to_batch


def on_a_line(*places: float) -> SetFeatures:
    return stats(torch.tensor(places, dtype=torch.float64)[:, None], True)


def test_balls_on_a_line_are_counted_by_hand():
    # Truths 0, 1, ..., 9: the 5th neighbour of 0 and 9 is 5 away, of 1 and 8 4, of the others 3.
    truths = on_a_line(*range(10))
    assert coverage(on_a_line(1.5), truths) == (0.5, 5 / 5)  # in the balls of 0 to 4
    assert coverage(on_a_line(-5.0), truths) == (0.1, 1 / 5)  # on the border of the first
    assert coverage(on_a_line(-5.1, 100.0), truths) == (0.0, 0.0)
    assert coverage(truths, truths)[0] == 1.0
    assert coverage(on_a_line(-0.9), on_a_line(0, 1)) == (0.5, 1.0)  # of one neighbour


@pytest.mark.parametrize("generated", [60, 200])
def test_two_sets_of_one_distribution_have_the_expected_values(generated: int):
    n, k, runs = 60, 5, 60
    found = []
    for run in range(runs):
        both = torch.randn(
            n + generated, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(run)
        )
        found.append(coverage(stats(both[n:], True), stats(both[:n], True)))
    shares, densities = np.array(found).T
    expected = 1 - math.prod((n - s) / (n + generated - s) for s in range(1, k + 1))
    for values, mean in ((shares, expected), (densities, 1.0)):
        assert values.mean() == pytest.approx(mean, abs=4 * values.std() / runs**0.5 + 1e-12)


def test_large_sets_are_compared_in_parts():
    made, true = features(1, 400, 3), features(2, 1100, 3, scale=1.5)
    apart = torch.linalg.vector_norm(true[:, None] - true, dim=-1).sort(1).values[:, 5:6]
    within = torch.linalg.vector_norm(true[:, None] - made, dim=-1) <= apart
    share, density = coverage(stats(made, True), stats(true, True))
    assert 0 < share < 1
    assert share == float(within.any(1).double().mean())
    assert density == pytest.approx(float(within.sum()) / 5 / 400)


def test_a_draw_counts_for_its_own_condition_alone():
    truths = on_a_line(*range(10))
    assert own_coverage(truths, truths) == 1.0
    apart = [5, 4, 3, 3.1, 9, 9, 9, 9, 9, 9]
    draws = [place for truth, by in enumerate(apart) for place in (truth + by, truth - 20)]
    assert own_coverage(on_a_line(*draws), truths) == 0.3


def test_a_models_coverage_is_that_of_its_images(models_32, true_pictures, tmp_path):
    saved = tmp_path / "out"
    settings = {"tau": 0.9, "candidates": 3, "keep": (1, 3), "save_images": saved, "weights": QUICK}
    found = evaluate(models_32["superres"], true_pictures, ["coverage"], **settings)

    def of(folder) -> SetFeatures:
        images = [read_image(path) for path in sorted(folder.rglob("*.png"))]
        return stats(quarters()(to_batch(images)), True)

    true = of(true_pictures / "test")
    models = [result for result in found.results if result.what == "model"]
    for result, name in zip(models, ("tau0.9_m3_n1", "tau0.9_m3_n3"), strict=True):
        share, density = coverage(of(saved / name), true)
        assert result.values[f"coverage:{LABEL}"].mean == pytest.approx(share)
        assert result.extra[f"coverage:{LABEL}_density"] == pytest.approx(density)
        own = own_coverage(of(saved / name), true)
        assert result.extra[f"coverage:{LABEL}_own"] == pytest.approx(own)
    model, more = models_32["superres"], {"skip_existing": True}
    again = evaluate(model, true_pictures, ["coverage"], **settings, **more)
    assert again.as_json() == found.as_json()


def test_fid_is_scipys():
    a, b = features(2), features(3, count=200, scale=1.4, shift=0.3)
    ca, cb = (np.cov(x.numpy(), rowvar=False) for x in (a, b))
    difference = (a.mean(0) - b.mean(0)).square().sum().item()
    expected = difference + np.trace(ca + cb - 2 * scipy.linalg.sqrtm(ca @ cb).real)
    assert fid(stats(a), stats(b)) == pytest.approx(expected, rel=1e-9)


def test_kid_is_the_unbiased_mmd():
    a, b = features(4, 90), features(5, 90, shift=0.2)

    def kernel(x, y):
        return (x @ y.T / 12 + 1) ** 3

    n = len(a)
    inner = [(kernel(x, x).sum() - kernel(x, x).diag().sum()) / (n * (n - 1)) for x in (a, b)]
    expected = float(sum(inner) - 2 * kernel(a, b).mean())
    assert kid(stats(a, True), stats(b, True)) == pytest.approx((expected, 0.0), rel=1e-9)


def test_kid_of_unequal_sets_repeats_itself_and_leaves_the_global_generator_alone():
    a, b = stats(features(4, 60), True), stats(features(5, 90, shift=1.0), True)
    torch.manual_seed(3)
    first = kid(a, b)
    drawn = torch.rand(1)
    torch.manual_seed(4)
    assert kid(a, b) == first
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), drawn)
    assert first[1] > 0


def test_a_set_of_one_has_no_distance():
    with pytest.raises(CaflowError, match="a set has 1 images"):
        fid(stats(features(1, 1)), stats(features(2)))


def test_kept_features_are_a_bounded_random_sample():
    values = torch.arange(15_000, dtype=torch.float64)[:, None]
    kept = stats(values, True, batch=170).features.flatten()
    assert len(kept) == len(kept.unique()) == 10_000
    assert kept.mean() == pytest.approx(7500, abs=3 * 15_000 / 12**0.5 / 100)


def test_saved_statistics_come_back(tmp_path):
    a, b = stats(features(6)), stats(features(7))
    path = tmp_path / "a.npz"
    a.save(path)
    with np.load(path) as file:
        assert (file["n"], file["extractor"]) == (300, "test")
        assert file["mu"] == pytest.approx(features(6).numpy().mean(0))
        assert file["sigma"] == pytest.approx(np.cov(features(6).numpy(), rowvar=False))
    again = SetFeatures.load(path, "test")
    assert again.count == 300
    assert again.count_is_known
    assert fid(again, b) == pytest.approx(fid(a, b), rel=1e-9)
    with pytest.raises(CaflowError, match="need the images"):
        coverage(stats(features(7), True), again)
    with pytest.raises(CaflowError, match="need the images"):
        kid(again, stats(features(7), True))
    np.savez(tmp_path / "other.npz", mu=a.moments[0].numpy(), sigma=a.moments[1].numpy())
    others = SetFeatures.load(tmp_path / "other.npz", "inception")  # of pytorch-fid
    assert not others.count_is_known
    assert fid(others, b) == pytest.approx(fid(a, b), rel=1e-9)
    with pytest.raises(CaflowError, match="of extractor 'test', not 'inception'"):
        SetFeatures.load(path, "inception")


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
def test_what_holds_no_statistics_is_refused(tmp_path, content):
    path = tmp_path / "bad.npz"
    np.savez(path, **content)
    with pytest.raises(CaflowError, match="holds no statistics") as caught:
        SetFeatures.load(path, "inception")
    assert caught.value.exit_code == 2
    path.write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(CaflowError, match="holds no statistics"):
        SetFeatures.load(path, "inception")
