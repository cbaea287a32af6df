from __future__ import annotations

from caflow_cli.evaluation.estimates import Estimate
from caflow_cli.evaluation.result import Evaluation, LikelihoodGap, Result, describe


def test_another_extractor_is_described_as_such():
    text = describe("fid:alexnet")["definition"]
    assert text.startswith("as fid, of the features of alexnet: not comparable with fid")
    record = Evaluation("sets", 2, ["fid:alexnet"], [Result("generated", {})]).as_json()
    assert record["metrics"]["fid:alexnet"]["better"] == "lower"


def test_an_infinite_mean_is_said_and_is_null_in_json():
    values = {"psnr": Estimate(float("inf"), None, 2), "rmse": Estimate(0.0, 0.0, 2)}
    record = Evaluation("sets", 2, ["rmse", "psnr"], [Result("generated", values)]).as_json()
    assert record["results"][0]["values"]["psnr"]["mean"] is None
    (note,) = record["notes"]
    assert note.startswith("psnr is infinite, because a picture equals")
    assert "JSON: null" in record["metrics"]["psnr"]["range"]


def test_bins_of_equal_log_likelihoods_surround_them():
    one = Estimate(0.0, None, 1)
    gap = LikelihoodGap(0.5, 2, one, one, [-3.0], [-3.0, -3.0])
    found = gap.histogram(bins=2)
    assert found == {"edges": [-3.5, -3.0, -2.5], "truth": [0, 1], "candidates": [0, 2]}
