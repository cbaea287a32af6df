"""Density, coverage, FID and KID against definitions, closed forms and scipy."""

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from evaluation.random_features import LABEL, QUICK, features, quarters

from caflow_cli.evaluation import evaluate
from caflow_cli.evaluation.metrics.sets import coverage, fid, kid
from caflow_cli.images import read_image
from caflow_cli.restoration import to_batch


def on_a_line(*places: float) -> torch.Tensor:
    return torch.tensor(places, dtype=torch.float64)[:, None]


def test_balls_on_a_line_are_counted_by_hand():
    # Truths 0, 1, ..., 9: the 5th neighbor of 0 and 9 is 5 away, of 1 and 8 4, of the others 3.
    truths = on_a_line(*range(10))
    assert coverage(on_a_line(1.5), truths) == (0.5, 5 / 5)  # in the balls of 0 to 4
    assert coverage(on_a_line(-5.0), truths) == (0.1, 1 / 5)  # on the border of the first
    assert coverage(on_a_line(-5.1, 100.0), truths) == (0.0, 0.0)
    assert coverage(truths, truths)[0] == 1.0
    assert coverage(on_a_line(-0.9), on_a_line(0, 1)) == (0.5, 1.0)  # of one neighbor


@pytest.mark.parametrize("generated", [60, 200])
def test_two_sets_of_one_distribution_have_the_expected_values(generated: int):
    n, k, runs = 60, 5, 60
    found = []
    for run in range(runs):
        generator = torch.Generator().manual_seed(run)
        both = torch.randn(n + generated, 8, dtype=torch.float64, generator=generator)
        found.append(coverage(both[n:], both[:n]))
    shares, densities = np.array(found).T
    expected = 1 - math.prod((n - s) / (n + generated - s) for s in range(1, k + 1))
    for values, mean in ((shares, expected), (densities, 1.0)):
        assert values.mean() == pytest.approx(mean, abs=4 * values.std() / runs**0.5 + 1e-12)


def test_large_sets_are_compared_in_parts():
    made, true = features(1, 400, 3), features(2, 1100, 3, scale=1.5)
    apart = torch.linalg.vector_norm(true[:, None] - true, dim=-1).sort(1).values[:, 5:6]
    within = torch.linalg.vector_norm(true[:, None] - made, dim=-1) <= apart
    share, density = coverage(made, true)
    assert 0 < share < 1
    assert share == float(within.any(1).double().mean())
    assert density == pytest.approx(float(within.sum()) / 5 / 400)


def test_a_models_coverage_is_that_of_its_images(models_32, true_images, tmp_path):
    saved = tmp_path / "out"
    settings = {"tau": 0.9, "candidates": 3, "keep": (1, 3), "save_images": saved, "weights": QUICK}
    found = evaluate(models_32["superres"], true_images, ["coverage"], **settings)

    def of(folder) -> torch.Tensor:
        images = [read_image(path) for path in sorted(folder.rglob("*.png"))]
        return quarters(to_batch(images))

    true = of(true_images / "test")
    models = [result for result in found.results if result.what == "model"]
    for result, name in zip(models, ("tau0.9_m3_n1", "tau0.9_m3_n3"), strict=True):
        share, density = coverage(of(saved / name), true)
        assert result.values[f"coverage:{LABEL}"].mean == pytest.approx(share)
        assert result.extra[f"coverage:{LABEL}_density"] == pytest.approx(density)
    model, more = models_32["superres"], {"skip_existing": True}
    again = evaluate(model, true_images, ["coverage"], **settings, **more)
    assert again.as_json() == found.as_json()


def test_fid_is_scipys():
    a, b = features(2), features(3, count=200, scale=1.4, shift=0.3)
    ca, cb = (np.cov(x.numpy(), rowvar=False) for x in (a, b))
    difference = (a.mean(0) - b.mean(0)).square().sum().item()
    expected = difference + np.trace(ca + cb - 2 * scipy.linalg.sqrtm(ca @ cb).real)
    assert fid(a, b) == pytest.approx(expected, rel=1e-9)


def test_kid_is_the_unbiased_mmd():
    a, b = features(4, 90), features(5, 90, shift=0.2)

    def kernel(x, y):
        return (x @ y.T / 12 + 1) ** 3

    n = len(a)
    inner = [(kernel(x, x).sum() - kernel(x, x).diag().sum()) / (n * (n - 1)) for x in (a, b)]
    expected = float(sum(inner) - 2 * kernel(a, b).mean())
    assert kid(a, b) == pytest.approx((expected, 0.0), rel=1e-9)


def test_kid_of_unequal_sets_repeats_itself_and_leaves_the_global_generator_alone():
    a, b = features(4, 60), features(5, 90, shift=1.0)
    torch.manual_seed(3)
    first = kid(a, b)
    drawn = torch.rand(1)
    torch.manual_seed(4)
    assert kid(a, b) == first
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), drawn)
    assert first[1] > 0
