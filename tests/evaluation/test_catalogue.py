from __future__ import annotations

import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.metrics import METRICS, choose_metrics


def test_metrics_are_chosen_by_name_list_or_all():
    assert choose_metrics(["RMSE,lpips", "fid"], METRICS) == ["lpips", "rmse", "fid"]
    assert choose_metrics(["all"], ["rmse", "ssim"]) == ["rmse", "ssim"]
    assert choose_metrics([], METRICS, ["rmse"]) == ["rmse"]
    for given, message in ((["lpisp"], "unknown metric 'lpisp'"), (["bpd"], "needs a model")):
        with pytest.raises(CaflowError, match=message) as caught:
            choose_metrics(given, ["lpips", "rmse"])
        assert caught.value.exit_code == 2
        assert caught.value.hint.startswith(("--metric lpips", "caflow evaluate --task"))


def test_an_unknown_metric_is_answered_by_all_that_there_are():
    with pytest.raises(CaflowError) as caught:
        choose_metrics(["sim"], ["lpips", "rmse", "ssim"])
    assert caught.value.hint == "--metric ssim; known: lpips, rmse, ssim, and all for all of them"


def test_metrics_of_benchmarks_are_not_for_others():
    others = [name for name in METRICS if name not in ("psnr_hole", "colourfulness", "seconds")]
    with pytest.raises(CaflowError, match="'colourfulness' is measured by a protocol") as caught:
        choose_metrics(["colourfulness"], others)
    assert "--protocol sr4|repair|colour" in caught.value.hint
