"""From rows to results, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from evaluation.small_settings import settings

from caflow_cli.evaluation.picture_row import CandidateRow, DrawsRow, PictureRow, TruthRow
from caflow_cli.evaluation.result import ALL
from caflow_cli.evaluation.settings import Cell
from caflow_cli.evaluation.summary import RowSummary
from caflow_cli.temperature import Temperature


def candidate(k: int, nats: float, rmse: float | None) -> CandidateRow:
    return CandidateRow(k, k, nats, {"rmse": rmse})


def row(index: int, truth: float, candidates: list[CandidateRow], base: float | None = None):
    return PictureRow(
        index,
        f"p{index}",
        (DrawsRow(Temperature.of(0.5), tuple(candidates)),),
        TruthRow(truth, -truth / 10),
        None if base is None else {"rmse": base},
    )


ROWS = [
    row(0, -10.0, [candidate(0, -30, 5), candidate(1, -20, 8), candidate(2, -20, 2)], base=9.0),
    row(1, -25.0, [candidate(0, -21, 4), candidate(1, -22, 6), candidate(2, -23, 2)], base=10.0),
]


def test_the_likeliest_are_measured_and_differences_are_paired():
    summary = RowSummary(settings(), "bicubic")
    for r in ROWS:
        summary.add(r)
    kept, everything = summary.results(Cell(0.5, 3, 1))
    # Picture 0 ties at -20: the lower k. Picture 1: k = 0.
    assert kept.values["rmse"].mean == 6.0
    assert kept.values["rmse"].standard_error == pytest.approx(2.0)  # of 8 and 4: s = 2.83
    assert everything.values["rmse"].mean == 4.5
    minus_all = kept.differences[ALL]["rmse"]  # 3 and 0
    assert (minus_all.mean, minus_all.standard_error) == (1.5, pytest.approx(1.5))
    minus_base = kept.differences["bicubic"]["rmse"]  # -1 and -6
    assert (minus_base.mean, minus_base.standard_error) == (-3.5, pytest.approx(2.5))
    assert summary.baseline["rmse"].mean == 9.5
    assert summary.truth is not None
    assert summary.truth.values["bpd"].mean == 1.75
    assert kept.values["likelihood"].mean == 0.5
    (gap,) = summary.gaps
    assert gap.above_all.mean == 0.5
    assert gap.difference.mean == pytest.approx(((-10 + 70 / 3) + (-25 + 22)) / 2)
    histogram = gap.histogram(bins=4)
    assert histogram["edges"] == [-30, -25, -20, -15, -10]
    assert histogram["truth"] == [0, 1, 0, 1]
    assert histogram["candidates"] == [1, 3, 2, 0]


def test_the_noise_of_bits_per_dim_is_stated_for_several_draws():
    summary = RowSummary(settings(metrics=("bpd",), noise_samples=4), None)
    for nats, error in ((-10.0, 3.0), (-25.0, 4.0)):
        summary.add(PictureRow(0, "p", (), TruthRow(nats, -nats / 10, error)))
    assert summary.truth is not None
    assert summary.truth.extra["noise_standard_error"] == pytest.approx(0.5 / 2)  # 0.3, 0.4


def test_fewer_candidates_are_the_first_and_more_kept_their_mean():
    summary = RowSummary(settings(candidates=(2, 3), keep=(1, 2)), None)
    for r in ROWS:
        summary.add(r)
    values = {
        (m, n): summary.results(Cell(0.5, m, n))[0].values["rmse"].mean
        for m, n in ((2, 1), (2, 2), (3, 1), (3, 2))
    }
    assert values == {(2, 1): 6.0, (2, 2): 5.75, (3, 1): 6.0, (3, 2): 5.0}


def test_calibration_is_the_mean_histogram():
    ranks = [[1.0, 0, 0, 0], [0, 0.5, 0.5, 0]]
    summary = RowSummary(settings(metrics=("calibration",)), None)
    for r, histogram in zip(ROWS, ranks, strict=True):
        draws = replace(r.draws[0], rank_histograms={3: histogram})
        summary.add(replace(r, draws=(draws,)))
    result = summary.results(Cell(0.5, 3, 1))[0]
    assert result.extra["rank_histogram"] == [0.5, 0.25, 0.25, 0]
    assert result.extra["coverage_50"]["mean"] == 0.5  # 0 and 1
    assert result.values["calibration"].mean == pytest.approx((0.8 + 1) / 2)  # 0.05 of a 0.25 bin
