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
