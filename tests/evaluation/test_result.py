from __future__ import annotations

from caflow_cli.evaluation.estimates import Estimate
from caflow_cli.evaluation.result import Evaluation, LikelihoodGap, Result, describe


def test_another_extractor_is_described_as_such():
    text = describe("fid:alexnet")["definition"]
    assert text.startswith("as fid, of the features of alexnet: not comparable with fid")
    record = Evaluation("sets", 2, ["fid:alexnet"], [Result("generated", {})]).as_json()
    assert record["metrics"]["fid:alexnet"]["better"] == "lower"


def test_bins_of_equal_log_likelihoods_surround_them():
    one = Estimate(0.0, None, 1)
    gap = LikelihoodGap(0.5, 2, one, one, [-3.0], [-3.0, -3.0])
    found = gap.histogram(bins=2)
    assert found == {"edges": [-3.5, -3.0, -2.5], "truth": [0, 1], "candidates": [0, 2]}
