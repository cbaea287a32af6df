"""Density and coverage against what follows from their definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from evaluation.random_features import features, stats

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import evaluate
from caflow_cli.evaluation.metrics import coverage as module
from caflow_cli.evaluation.metrics.coverage import coverage, own_coverage
from caflow_cli.evaluation.metrics.set_features import SetFeatures
from caflow_cli.images import read_image


def on_a_line(*places: float) -> SetFeatures:
    return stats(torch.tensor(places, dtype=torch.float64)[:, None], True)


def test_balls_on_a_line_are_counted_by_hand() -> None:
    # Truths 0, 1, ..., 9: the 5th neighbour of 0 and 9 is 5 away, of 1 and 8 4, of the others 3.
    truths = on_a_line(*range(10))
    assert coverage(on_a_line(1.5), truths) == (0.5, 5 / 5)  # in the balls of 0 to 4
    assert coverage(on_a_line(-5.0), truths) == (0.1, 1 / 5)  # on the border of the first
    assert coverage(on_a_line(-5.1, 100.0), truths) == (0.0, 0.0)
    assert coverage(truths, truths)[0] == 1.0


def test_few_truths_have_fewer_neighbours() -> None:
    assert coverage(on_a_line(-0.9), on_a_line(0, 1)) == (0.5, 1.0)


@pytest.mark.parametrize("generated", [60, 200])
def test_two_sets_of_one_distribution_have_the_expected_values(generated: int) -> None:
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


def test_the_parts_of_a_matrix_make_the_whole(monkeypatch) -> None:
    made, true = stats(features(1), True), stats(features(2, scale=2), True)
    whole = coverage(made, true)
    monkeypatch.setattr(module, "_ROWS", 7)
    assert coverage(made, true) == whole
    assert 0 < whole[0] < 1


def test_a_draw_counts_for_its_own_condition_alone() -> None:
    truths = on_a_line(*range(10))
    assert own_coverage([0.0] * 10, truths) == 1.0
    assert own_coverage([5.0, 4.0, 3.0, 3.1, 9, 9, 9, 9, 9, 9], truths) == 0.3


def test_statistics_alone_have_no_balls(tmp_path) -> None:
    stats(features(6)).save(tmp_path / "a.npz")
    with pytest.raises(CaflowError, match="coverage need the pictures"):
        coverage(stats(features(7), True), SetFeatures.load(tmp_path / "a.npz", "test"))


def test_a_models_coverage_is_that_of_its_pictures(
    models_32, true_pictures, tmp_path, small_extractor
) -> None:
    saved = tmp_path / "out"
    settings = {"tau": 0.9, "candidates": 3, "keep": (1, 3), "save_images": saved}
    found = evaluate(models_32["superres"], true_pictures, ["coverage"], **settings)

    def of(paths) -> torch.Tensor:
        images = np.stack([read_image(path) for path in paths]).transpose(0, 3, 1, 2)
        return small_extractor(torch.from_numpy(images.copy()))

    true = of(sorted((true_pictures / "test").rglob("*.png")))
    apart = torch.linalg.vector_norm(true[:, None] - true, dim=-1)
    radii = apart.sort(1).values[:, 4]  # of five truths all others are neighbours
    one, three = (result for result in found.results if result.what == "model")
    for result, name in ((one, "tau0.9_m3_n1"), (three, "tau0.9_m3_n3")):
        made = of(sorted((saved / name).rglob("*.png")))
        within = torch.linalg.vector_norm(true[:, None] - made, dim=-1) <= radii[:, None]
        assert result.values["coverage"].mean == pytest.approx(within.any(1).double().mean())
        assert result.extra["coverage_density"] == pytest.approx(
            float(within.sum()) / 4 / len(made)
        )
        own = within.unflatten(1, (5, -1)).any(-1).diag()
        assert result.extra["coverage_own"] == pytest.approx(own.double().mean())
    again = evaluate(
        models_32["superres"], true_pictures, ["coverage"], **settings, skip_existing=True
    )
    assert again.as_json() == found.as_json()
