"""From rows to results, by hand; how results are written."""

import json
import math

import pytest

from caflow_cli.cli.evaluation_table import table_lines
from caflow_cli.config import Temperature
from caflow_cli.evaluation import Evaluation, Result
from caflow_cli.evaluation.result import ALL, Estimate, describe, estimate
from caflow_cli.evaluation.rows import Draw, Draws, Row
from caflow_cli.evaluation.settings import Cell
from caflow_cli.evaluation.summary import summarize

HALF = Temperature.of(0.5)


def row(index: int, truth: float, *candidates: tuple[float, float], base: float | None = None):
    """Candidates are log-likelihood and RMSE."""
    draws = [Draw(k, k, nats, nats, {"rmse": rmse}) for k, (nats, rmse) in enumerate(candidates)]
    return Row(
        index,
        f"p{index}",
        [Draws(HALF, len(draws), draws)],
        {} if base is None else {"bicubic": {"rmse": base}},
        {"log_likelihood": truth, "bits_per_dim": -truth / 10},
    )


ROWS = [
    row(0, -10.0, (-30, 5.0), (-20, 8.0), (-20, 2.0), base=9.0),
    row(1, -25.0, (-21, 4.0), (-22, 6.0), (-23, 2.0), base=10.0),
]


def test_the_likeliest_are_measured_and_differences_are_paired():
    metrics = ("rmse", "bpd", "likelihood")
    bicubic, kept, everything, truth = summarize(ROWS, [Cell(HALF, 3, 1)], metrics)
    # Image 0 ties at -20: the lower k. Image 1: k = 0.
    assert kept.values["rmse"].mean == 6.0
    assert kept.values["rmse"].standard_error == pytest.approx(2.0)  # of 8 and 4: s = 2.83
    assert (everything.what, everything.values["rmse"].mean) == (ALL, 4.5)
    minus_all = kept.differences[ALL]["rmse"]  # 3 and 0
    assert (minus_all.mean, minus_all.standard_error) == (1.5, pytest.approx(1.5))
    minus_base = kept.differences["bicubic"]["rmse"]  # -1 and -6
    assert (minus_base.mean, minus_base.standard_error) == (-3.5, pytest.approx(2.5))
    assert bicubic.values["rmse"].mean == 9.5
    assert truth.values["bpd"].mean == 1.75
    assert kept.values["likelihood"].mean == 0.5


def test_the_value_of_several_kept_is_their_mean():
    results = summarize(ROWS, [Cell(HALF, 3, n) for n in (1, 2)], ("rmse",))
    values = [row.values["rmse"].mean for row in results if row.what == "model"]
    assert values == [6.0, 5.0]


def test_other_rules_are_compared_with_likelihoods_choice():
    rows = [Row.of_json(one.as_json()) for one in ROWS]
    for one in rows:
        one.draws[0].consensus = [2, 0, 1]
    cells = [Cell(HALF, 3, 1, rank) for rank in ("consensus", "none")]
    results = summarize(rows, cells, ("rmse",))
    consensus, first = (row for row in results if row.what == "model")
    assert consensus.values["rmse"].mean == 2.0
    assert consensus.differences["likeliest"]["rmse"].mean == -4.0  # 2 - 8, 2 - 4
    assert first.values["rmse"].mean == 4.5
    assert consensus.label == "model, τ 0.5, 1 of 3 by consensus"


def test_likelihoods_share_is_that_of_the_likeliest_under_every_rule():
    """Consensus puts candidates below the truth first, but others are above it."""
    rows = [row(0, -25.0, (-30, 5.0), (-20, 8.0)), row(1, -10.0, (-21, 4.0), (-22, 6.0))]
    for one in rows:
        one.draws[0].consensus = [0, 1]
    cells = [Cell(HALF, 2, 1, rank) for rank in ("consensus", "none", "likelihood")]
    results = summarize(rows, cells, ("rmse", "likelihood"))
    shares = [one.values["likelihood"].mean for one in results if one.what == "model"]
    assert shares == [0.5, 0.5, 0.5]


def test_images_with_predicted_windows_are_left_out_of_shares():
    whole = row(1, -25.0, (-21, 4.0), (-22, 6.0), (-23, 2.0), base=10.0)
    part = row(0, -10.0, (-30, 5.0), (-20, 8.0), (-20, 2.0), base=9.0)
    part.draws[0].candidates[1].rank_score = None
    part.draws[0].windows, part.draws[0].redraws, part.draws[0].predicted = 6, 13, 1
    whole.draws[0].windows = 4
    whole.draws[0].ranks = [0.0, 0.5, 0.5, 0.0]
    metrics = ("rmse", "calibration", "likelihood")
    cells = [Cell(HALF, 3, 1)]
    results = summarize([part, whole], cells, metrics)
    [found] = [result for result in results if result.what == "model"]
    assert found.values["rmse"].mean == 3.0  # of 2, the likeliest that is left, and 4
    assert found.values["likelihood"].count == found.values["calibration"].count == 1
    assert found.extra["rank_histogram"] == [0.0, 0.5, 0.5, 0.0]
    counts = {"windows": 10, "redraws": 13, "predicted": 1, "redraws_per_1000": 1300}
    assert counts.items() <= found.extra.items()
    assert found.differences[ALL]["rmse"].mean == pytest.approx(((2 - 5) + 0) / 2)
    # Without a whole image there are no shares.
    results = summarize([part], cells, metrics)
    assert results[1].values.keys() == {"rmse"}
    # An image without any candidate does not count.
    part.draws[0].candidates = []
    results = summarize([part, whole], cells, ("rmse",))
    [found] = [result for result in results if result.what == "model"]
    assert found.values["rmse"].count == 1


def test_an_infinite_value_makes_the_mean_infinite_and_leaves_differences():
    rows = [row(0, -1.0, (-3.0, None), base=2.0), row(1, -1.0, (-3.0, 1.0), base=5.0)]
    results = summarize(rows, [Cell(HALF, 1, 1)], ("rmse",))
    assert math.isinf(results[1].values["rmse"].mean)
    assert results[1].differences["bicubic"]["rmse"] == Estimate(-4.0, None, 1)


def test_calibration_is_the_mean_histogram():
    rows = [Row.of_json(one.as_json()) for one in ROWS]
    for one, shares in zip(rows, ([1.0, 0, 0, 0], [0, 0.5, 0.5, 0]), strict=True):
        one.draws[0].ranks = shares
    results = summarize(rows, [Cell(HALF, 3, 1)], ("calibration",))
    result = next(row for row in results if row.what == "model")
    assert result.extra["rank_histogram"] == [0.5, 0.25, 0.25, 0]
    assert result.extra["coverage_50"]["mean"] == 0.5  # 0 and 1
    assert result.values["calibration"].mean == pytest.approx((0.8 + 1) / 2)  # 0.05 of a 0.25 bin


def test_a_mean_has_its_standard_error():
    found = estimate([1e9 + 1, 1e9 + 2, 1e9 + 6])
    assert found == Estimate(1e9 + 3, pytest.approx((14 / 2 / 3) ** 0.5), 3)
    infinite = estimate([30.0, None]).as_json()
    assert infinite == {"mean": None, "standard_error": None, "count": 2}
    assert estimate([4.0]) == Estimate(4.0, None, 1)


def test_a_ratio_of_means_has_the_error_of_the_delta_method():
    over, under = [3.0, 5.0, 4.0, 8.0], [1.0, 2.0, 3.0, 4.0]
    pairs = [list(pair) for pair in zip(over, under, strict=True)]
    residuals = [a - 2 * b for a, b in pairs]  # their mean is 0
    spread = sum(r * r for r in residuals) / 3
    assert estimate(pairs) == Estimate(2.0, pytest.approx((spread / 4) ** 0.5 / 2.5), 4)
    assert estimate([[0.3, 0.1], [0.6, 0.2]]).standard_error == pytest.approx(0, abs=1e-7)
    assert estimate(pairs[:1]).standard_error is None
    gray = Row(0, "x", [], {"gray copy": {"colorfulness": [1.0, 0.0], "rmse": 2.0}})
    (result,) = summarize([gray], [], [])
    assert result.values.keys() == {"rmse"}  # no ratio to nothing


def test_a_row_comes_back_from_its_line():
    scored = row(3, -4.0, (-2.0, 1.5), (-3.0, None), base=2.5)
    scored.draws[0].consensus = [1, 0]
    scored.draws[0].values = {"diversity": 0.5}
    scored.draws[0].ranks = [0.25, 0.5, 0.25]
    tile = Draw(0, 7, None, -12.5, {"colorfulness": [3.0, 4.0]})
    tiles = Draws(Temperature.of("0.9/0.5"), 10, [tile], 3, 2, 1, values={"seconds": [1.5, 0.25]})
    scored.draws.append(tiles)
    record = json.loads(json.dumps(scored.as_json()))
    again = Row.of_json(record)
    assert json.loads(json.dumps(again.as_json())) == record
    assert vars(again.draws[0]) == vars(scored.draws[0])
    assert vars(again.draws[1]) == vars(tiles)


def test_a_table_has_a_row_for_each_result_and_difference():
    values = {"rmse": Estimate(18.2012, 0.45, 9), "psnr": Estimate(math.inf, None, 9)}
    difference = {"bicubic": {"rmse": Estimate(-2.5, 0.1, 9)}}
    results = [
        Result("bicubic", {"rmse": Estimate(20.7, 0.5, 9)}),
        Result("model", values, Cell(HALF, 10, 1), difference),
        Result("paper, published", {"rmse": Estimate(17.56, None, 0)}),
    ]
    found = Evaluation("model", 9, ["rmse", "psnr"], results, {"task": "superres"})
    assert list(table_lines(found)) == [
        "what\ttau\tm\tn\tranked_by\timages\trmse\trmse_se\tpsnr\tpsnr_se",
        "bicubic\t\t\t\t\t9\t20.7\t0.5\t\t",
        "model\t0.5\t10\t1\tlikelihood\t9\t18.2012\t0.45\tinf\t",
        "model - bicubic\t0.5\t10\t1\tlikelihood\t9\t-2.5\t0.1\t\t",
        "paper, published\t\t\t\t\t\t17.56\t\t\t",
    ]
    text = describe("fid:alexnet")["definition"]
    assert text.startswith("like fid, on features of alexnet: not comparable with fid")
    assert found.as_json()["results"][1]["values"]["psnr"]["mean"] is None
