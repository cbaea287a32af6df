"""From rows to results, by hand."""

from __future__ import annotations

import json
import math

import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.catalogue import METRICS, choose_metrics
from caflow_cli.evaluation.estimates import Running
from caflow_cli.evaluation.plan import Cell, Plan
from caflow_cli.evaluation.protocols import PROTOCOLS, get_protocol
from caflow_cli.evaluation.result import ALL, Evaluation, Result, describe
from caflow_cli.evaluation.summary import Summary


def candidate(k: int, nats: float, rmse: float | None) -> dict:
    return {"k": k, "seed": k, "log_likelihood": nats, "rmse": rmse}


def row(index: int, truth: float, candidates: list[dict], base: float | None = None, **extra):
    result = {
        "index": index,
        "name": f"p{index}",
        "truth": {"log_likelihood": truth, "bits_per_dim": -truth / 10},
        "draws": [{"tau": 0.5, "candidates": candidates, **extra}],
    }
    return result if base is None else {**result, "baseline": {"rmse": base}}


def plan(**changes) -> Plan:
    values = {
        "taus": (0.5,),
        "candidates": (3,),
        "keep": (1,),
        "metrics": ("rmse", "bpd", "likelihood"),
    }
    return Plan(**{**values, **changes})


ROWS = [
    row(0, -10.0, [candidate(0, -30, 5), candidate(1, -20, 8), candidate(2, -20, 2)], base=9.0),
    row(1, -25.0, [candidate(0, -21, 4), candidate(1, -22, 6), candidate(2, -23, 2)], base=10.0),
]


def test_the_likeliest_are_measured_and_differences_are_paired():
    summary = Summary(plan(), "bicubic")
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
    summary = Summary(plan(metrics=("bpd",), noise_samples=4), None)
    for nats, error in ((-10.0, 3.0), (-25.0, 4.0)):
        truth = {"log_likelihood": nats, "bits_per_dim": -nats / 10, "standard_error": error}
        summary.add({"index": 0, "name": "p", "truth": truth, "draws": []})
    assert summary.truth is not None
    assert summary.truth.extra["noise_standard_error"] == pytest.approx(0.5 / 2)  # 0.3, 0.4


def test_fewer_candidates_are_the_first_and_more_kept_their_mean():
    summary = Summary(plan(candidates=(2, 3), keep=(1, 2)), None)
    for r in ROWS:
        summary.add(r)
    values = {
        (m, n): summary.results(Cell(0.5, m, n))[0].values["rmse"].mean
        for m, n in ((2, 1), (2, 2), (3, 1), (3, 2))
    }
    assert values == {(2, 1): 6.0, (2, 2): 5.75, (3, 1): 6.0, (3, 2): 5.0}


def test_calibration_is_the_mean_histogram():
    ranks = [[1.0, 0, 0, 0], [0, 0.5, 0.5, 0]]
    summary = Summary(plan(metrics=("calibration",)), None)
    for r, histogram in zip(ROWS, ranks, strict=True):
        draws = [{**r["draws"][0], "ranks": {"3": histogram}}]
        summary.add({**r, "draws": draws})
    result = summary.results(Cell(0.5, 3, 1))[0]
    assert result.extra["rank_histogram"] == [0.5, 0.25, 0.25, 0]
    assert result.extra["coverage_50"]["mean"] == 0.5  # 0 and 1
    assert result.values["calibration"].mean == pytest.approx((0.8 + 1) / 2)  # 0.05 of a 0.25 bin


def test_equal_pictures_have_infinite_psnr_and_json_says_null():
    running = Running()
    for value in (30.0, None):
        running.add(value)
    estimate = running.estimate
    assert math.isinf(estimate.mean)
    text = json.dumps(estimate.as_json(), allow_nan=False)
    assert json.loads(text) == {"mean": None, "standard_error": None, "count": 2}


def test_running_is_the_mean_and_its_standard_error():
    running = Running()
    for value in (1e9 + 1, 1e9 + 2, 1e9 + 6):
        running.add(value)
    assert running.estimate.mean == 1e9 + 3
    assert running.estimate.standard_error == pytest.approx((14 / 2 / 3) ** 0.5)


def test_metrics_are_chosen_by_name_list_or_all():
    assert choose_metrics(["RMSE,lpips", "fid"], METRICS) == ["lpips", "rmse", "fid"]
    assert choose_metrics(["all"], ["rmse", "ssim"]) == ["rmse", "ssim"]
    assert choose_metrics([], METRICS, ["rmse"]) == ["rmse"]
    for given, message in ((["lpisp"], "unknown metric 'lpisp'"), (["bpd"], "needs a model")):
        with pytest.raises(CaflowError, match=message) as caught:
            choose_metrics(given, ["lpips", "rmse"])
        assert caught.value.exit_code == 2
        assert caught.value.hint.startswith(("--metric lpips", "caflow evaluate --task"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"taus": (0.5, -1.0)}, "tau is -1"),
        ({"candidates": (0,)}, "cannot draw 0"),
        ({"keep": (4,)}, "cannot keep 4 of 3"),
        ({"seed": 2**32}, "seed"),
        ({"noise_samples": 0}, "0 noise samples"),
        ({"candidates": (1,), "metrics": ("diversity",)}, "diversity of one"),
    ],
)
def test_plans_that_cannot_be_run(changes, message):
    with pytest.raises(CaflowError, match=message) as caught:
        plan(**changes).check()
    assert caught.value.exit_code == 2


def test_a_sweep_is_all_that_fits_and_draws_once_a_temperature():
    sweep = plan(taus=(0.0, 0.5), candidates=(1, 10), keep=(1, 5), metrics=("likelihood",))
    assert len(sweep.cells) == 2 * 3
    assert (sweep.most, sweep.draws) == (10, [0.0, 0.5, 1.0])
    assert plan(metrics=("bpd",)).draws == []


def test_protocols_hold_the_papers_figures():
    by_name = {
        name: {result.what: result.values for result in protocol.published}
        for name, protocol in PROTOCOLS.items()
    }
    ours = by_name["table1"]["CAFLOW, published"]
    assert (ours["lpips"].mean, ours["rmse"].mean) == (0.08, 17.56)
    assert by_name["table1"]["bicubic, published"]["rmse"].mean == 20.10
    five = by_name["table2"]["CAFLOW, five a picture, published"]
    assert five["fid"].mean == 16.73
    assert by_name["table3"]["CAFLOW, published"]["psnr"].mean == 26.08
    with pytest.raises(CaflowError, match="unknown protocol 'table4'"):
        get_protocol("table4")


def test_departures_from_a_protocol_are_said():
    table1 = get_protocol("table1")
    same = plan(candidates=(10,), metrics=("rmse", "lpips"))
    assert table1.departures(same, 100, ["lpips", "rmse"]) == []
    (note,) = table1.departures(plan(taus=(0.9,), candidates=(10,)), 12, ["rmse"])
    assert note == "not quite table1: tau 0.9 instead of 0.5; 12 pictures instead of 100"
    table2 = get_protocol("table2")
    other = plan(taus=(0.85,), candidates=(10,), keep=(1, 5), metrics=("fid",))
    (note,) = table2.departures(other, 5000, ["fid:alexnet"])
    assert "no FID" in note


def test_another_extractor_is_described_as_such():
    text = describe("fid:alexnet")["definition"]
    assert text.startswith("as fid, of the features of alexnet: not comparable with fid")
    record = Evaluation("sets", 2, ["fid:alexnet"], [Result("generated", {})]).as_json()
    assert record["metrics"]["fid:alexnet"]["better"] == "lower"
