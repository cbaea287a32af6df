from __future__ import annotations

import json

from caflow_cli.evaluation.picture_row import CandidateRow, DrawsRow, PictureRow, ranked
from caflow_cli.temperature import Temperature

# A line of `evaluate.jsonl` as it stands in files that runs have left.
LINE = (
    '{"index": 1, "name": "sub/p.png", "draws": [{"tau": [0.5], "candidates": [{"k": 0, "seed": 7, '
    '"log_likelihood": -30.125, "rmse": 8.0, "psnr": null}, {"k": 1, "seed": 8, '
    '"log_likelihood": -20.5, "rmse": 5.1, "psnr": 33.9}], "diversity": {"2": 1.5}, '
    '"ranks": {"1": [0.25, 0.75], "2": [0.5, 0.25, 0.25]}}, {"tau": [1.0], "candidates": '
    '[{"k": 0, "seed": 7, "log_likelihood": -31.0}]}], "truth": {"log_likelihood": -10.0, '
    '"bits_per_dim": 0.1, "standard_error": 0.5}, "baseline": {"rmse": 9.0, "psnr": 29.0}}'
)


def test_a_row_is_read_and_written_as_files_have_it():
    row = PictureRow.from_json(json.loads(LINE))
    assert json.dumps(row.as_json()) == LINE
    draws = row.draws_at(0.5)
    assert draws.candidates[0] == CandidateRow(0, 7, -30.125, {"rmse": 8.0, "psnr": None})
    assert draws.diversity == {2: 1.5}
    assert draws.rank_histograms == {1: [0.25, 0.75], 2: [0.5, 0.25, 0.25]}
    assert row.draws_at(1.0).candidates[0].values == {}
    assert row.truth is not None
    assert row.truth.standard_error == 0.5


def test_a_row_holds_only_what_was_measured():
    line = (
        '{"index": 0, "name": "p", "draws": [], "truth": {"log_likelihood": -1.0, '
        '"bits_per_dim": 0.2}}'
    )
    row = PictureRow.from_json(json.loads(line))
    assert row.baseline is None
    assert json.dumps(row.as_json()) == line
    bare = PictureRow(0, "p", ())
    assert PictureRow.from_json(bare.as_json()) == bare


def test_the_likeliest_come_first_and_ties_by_place():
    candidates = [CandidateRow(k, k, nats) for k, nats in enumerate((-30.0, -20.0, -20.0, -1.0))]
    assert [c.k for c in ranked(candidates, 3)] == [1, 2, 0]
    assert [c.k for c in ranked(candidates, 4)] == [3, 1, 2, 0]


def test_a_row_keeps_the_orders_of_other_rules():
    candidates = tuple(CandidateRow(k, k, nats) for k, nats in enumerate((-3.0, -2.0, -1.0)))
    draws = DrawsRow(
        Temperature.of("0.9/0.5"), candidates, orders={"consensus": {2: [1, 0], 3: [1, 2, 0]}}
    )
    row = PictureRow(0, "p", (draws,))
    again = PictureRow.from_json(json.loads(json.dumps(row.as_json())))
    assert again == row
    (draws,) = again.draws
    assert [c.k for c in draws.ranked(3, "consensus")] == [1, 2, 0]
    assert [c.k for c in draws.ranked(2, "consensus")] == [1, 0]
    assert [c.k for c in draws.ranked(3)] == [2, 1, 0]
    assert [c.k for c in draws.ranked(2, "none")] == [0, 1]
