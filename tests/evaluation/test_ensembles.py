"""Metrics of all candidates together: by hand, by scoringrules, and of a model on data."""

from __future__ import annotations

import json

import numpy as np
import pytest

from caflow_cli.config import Temperature
from caflow_cli.data.examples import open_split
from caflow_cli.ensembles import (
    central_share,
    crps,
    diversity,
    rank_histogram,
    unevenness,
)
from caflow_cli.evaluation import evaluate
from caflow_cli.evaluation.rows import Draw, Draws, Row
from caflow_cli.evaluation.settings import Cell
from caflow_cli.evaluation.summary import summarize
from caflow_cli.images import write_png
from caflow_cli.restoration import restore, task_of
from caflow_cli.tasks.holes import central_hole

HALF = Temperature.of(0.5)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("m", [2, 3, 10, 31])
def test_crps_is_the_fair_one_of_scoringrules(m: int) -> None:
    scoringrules = pytest.importorskip("scoringrules")
    members, truth = 3 * normal(m, 5, 7), normal(5, 7, seed=1)
    members[:, 0] = members[:, 0].round()  # with ties
    truth[0] = truth[0].round()
    for values in (members, np.maximum(members, 0)):  # and rain, where most is dry
        expected = scoringrules.crps_ensemble(
            truth, values, m_axis=0, estimator="fair", backend="numpy"
        )
        assert crps(values, truth) == pytest.approx(expected, abs=1e-12)


def test_crps_does_not_depend_on_the_number_of_members() -> None:
    """Its mean is the score of the distribution, here of the standard normal one in closed form."""
    scoringrules = pytest.importorskip("scoringrules")
    for m in (2, 10):
        for y in (0.0, 1.5):
            members = normal(m, 40_000, seed=m)
            scores = crps(members, np.full(40_000, y))
            error = scores.std() / 200
            assert scores.mean() == pytest.approx(scoringrules.crps_normal(y, 0, 1), abs=4 * error)


def test_crps_of_one_member_is_its_absolute_error() -> None:
    members, truth = normal(1, 6), normal(6, seed=1)
    assert np.array_equal(crps(members, truth), abs(members[0] - truth))
    assert crps(np.array([[3], [250]], np.uint8), np.array([5], np.uint8)) == [0.0]  # 123.5 - 123.5


def test_diversity_is_the_standard_deviation_among_candidates() -> None:
    members = np.broadcast_to(np.array([10, 10, 16], np.uint8)[:, None, None], (3, 4, 4)).copy()
    assert diversity(members) == pytest.approx(12**0.5)  # (4 + 4 + 16) / 2
    members[:, 2:] = 50  # half of the values do not vary
    assert diversity(members) == pytest.approx(6**0.5)


def test_ranks_are_counted_and_ties_shared() -> None:
    members = np.repeat(np.array([[10], [20], [20], [30]], np.uint8), 4, 1)
    truth = np.array([5, 20, 25, 255], np.uint8)
    third = 1 / 3  # 20 ties with two: ranks 1, 2 and 3
    expected = [1, third, third, third + 1, 1]
    assert 4 * rank_histogram(members, truth) == pytest.approx(expected)


def test_shared_ties_are_the_mean_of_ties_broken_at_random() -> None:
    """As in fields of rain: most values are dry, and equal."""
    random = np.random.default_rng(0)
    members, truth = (np.maximum(normal(*shape), 0) for shape in ((4, 300), (300,)))
    counts = np.zeros(5)
    for _ in range(2000):
        order = random.random((4, 300)) < random.random(300)  # of places that tie
        ranks = ((members < truth) | ((members == truth) & order)).sum(0)
        counts += np.bincount(ranks, minlength=5)
    assert counts / counts.sum() == pytest.approx(rank_histogram(members, truth), abs=0.003)


def test_alike_truths_are_covered_as_often_as_said() -> None:
    for m in (1, 4, 10, 30):
        even = np.full(m + 1, 1 / (m + 1))
        assert central_share(even, 0.9) == pytest.approx(0.9)
        assert central_share(even, 0.5) == pytest.approx(0.5)
    outside = np.array([0.5, 0, 0, 0, 0.5])
    assert central_share(outside, 0.5) == 0.0
    assert central_share(outside, 0.9) == pytest.approx(0.75)  # 0.15 of each outer 0.2
    draws = np.random.default_rng(4).integers(0, 256, (11, 3, 64, 64), np.uint8)
    histogram = rank_histogram(draws[:10], draws[10])
    assert histogram.tolist() == pytest.approx([1 / 11] * 11, abs=0.01)


def test_unevenness_is_half_the_sum_of_differences_of_the_mean() -> None:
    histograms = np.array([[1, 0, 0, 0], [0.5, 0, 0, 0.5]])
    values, _ = unevenness(histograms)
    assert np.mean(values) == pytest.approx((0.5 + 0.25 + 0.25) / 2)  # of 3/4, 0, 0, 1/4
    values, by_chance = unevenness(histograms[:1])
    assert (values, by_chance) == ([0.75], None)


def test_the_distance_by_chance_is_that_of_uniform_ranks() -> None:
    random = np.random.default_rng(0)
    found = []
    for _ in range(300):
        histograms = random.multinomial(6, [1 / 5] * 5, 40) / 6
        values, by_chance = unevenness(histograms)
        found.append((np.mean(values), by_chance))
    distance, expected = np.mean(found, axis=0)
    assert distance == pytest.approx(expected, rel=0.05)


def test_rank_is_the_distance_of_the_mean_histogram() -> None:
    """That of each image would be larger: here they are opposite, and 0 together."""
    rows = []
    for index, ranks in enumerate(([1.0, 0, 0], [0, 0, 1.0], [0.0, 1, 0])):
        draws = [Draw(k, k, None, 0.0, {}) for k in range(2)]
        rows.append(Row(index, f"p{index}", [Draws(HALF, 2, draws, ranks=ranks)]))
    [result] = summarize(rows, [Cell(HALF, 2, 2)], ("rank",))
    assert result.extra["rank_histogram"] == pytest.approx([1 / 3] * 3)
    assert (result.values["rank"].mean, result.values["rank"].count) == (pytest.approx(0), 3)
    assert result.values.keys() == {"rank"}  # calibration was not asked for
    [result] = summarize(rows[:2], [Cell(HALF, 2, 2)], ("rank", "calibration"))
    assert result.values["rank"].mean == pytest.approx(1 / 3)
    assert result.extra["rank_by_chance"] > 0.2
    assert result.values.keys() == {"rank", "calibration"}
    [result] = summarize(rows[:1], [Cell(HALF, 2, 2)], ("rank",))
    assert json.dumps(result.as_json(), allow_nan=False)


@pytest.mark.parametrize("task", ["superres", "inpaint", "colorize", "16 bits"])
def test_figures_are_those_of_the_candidates_that_restore_draws(
    models_32, true_images, tmp_path, task
) -> None:
    """In levels, and of a hole its own pixels alone; a baseline is a forecast of one member."""
    scoringrules = pytest.importorskip("scoringrules")
    with open_split(true_images, "test", 32) as source:
        images = [source.read(row)[0] for row in range(3)]
    if task == "16 bits":
        pytest.importorskip("imagecodecs")
        low = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint16)
        images = [256 * image.astype(np.uint16) + low for image in images]
    for index, image in enumerate(images):
        write_png(tmp_path / f"{index}.png", image)
    model = models_32["superres" if task == "16 bits" else task]
    metrics = ("crps", "rank", "diversity")
    found = evaluate(model, tmp_path, metrics, candidates=4, tau=0.8)
    [ours] = [one for one in found.results if one.what == "model"]
    scores, spreads, histograms, of_baseline = [], [], [], []
    for index, truth in enumerate(images):
        given, mask = truth, None
        if task == "inpaint":
            mask = central_hole(*truth.shape[:2])
        elif task != "colorize":
            given = task_of(model).degrade(truth)
        drawn = restore(model, given, 0.8, 4, seed=1_000_003 * index, mask=mask, keep=4)
        levels = np.stack([candidate.image for candidate in drawn.ranked]).astype(float)
        levels, truth = (x / (256 if truth.dtype == np.uint16 else 1) for x in (levels, truth))
        spreads.append(levels.var(0, ddof=1).mean() ** 0.5)
        if mask is not None:
            levels, truth = levels[:, mask], truth[mask]
            of_baseline.append(np.abs(given[~mask].mean(0).round() - truth).mean())
        scores.append(scoringrules.crps_ensemble(truth, levels, m_axis=0, estimator="fair").mean())
        histograms.append(rank_histogram(levels, truth))
    assert ours.values["crps"].mean == pytest.approx(np.mean(scores), abs=0.01)
    assert ours.values["diversity"].mean == pytest.approx(np.mean(spreads), abs=0.01)
    mean = np.mean(histograms, 0)
    assert ours.extra["rank_histogram"] == pytest.approx(mean.tolist(), abs=1e-3)
    assert ours.values["rank"].mean == pytest.approx(abs(mean - 0.2).sum() / 2, abs=1e-3)
    baseline = found.results[0].values
    assert baseline.keys() == {"crps"}
    if of_baseline:
        assert baseline["crps"].mean == pytest.approx(np.mean(of_baseline), abs=0.5)
    assert ours.differences[found.results[0].what]["crps"].count == 3
