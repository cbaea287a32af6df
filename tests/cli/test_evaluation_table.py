"""An evaluation as a table, for people and for programs."""

from __future__ import annotations

from caflow_cli.cli.evaluation_table import rich_table, tab_separated
from caflow_cli.evaluation import Evaluation, Result
from caflow_cli.evaluation.estimates import Estimate
from caflow_cli.evaluation.settings import Cell


def small_evaluation() -> Evaluation:
    cell = Cell(0.5, 10, 1)
    values = {"rmse": Estimate(18.2012, 0.45, 9), "psnr": Estimate(float("inf"), None, 9)}
    difference = {"bicubic": {"rmse": Estimate(-2.5, 0.1, 9)}}
    results = [
        Result("bicubic", {"rmse": Estimate(20.7, 0.5, 9)}),
        Result("model", values, cell, difference),
        Result("paper, published", {"rmse": Estimate(17.56, None, 0)}),
    ]
    return Evaluation("model", 9, ["rmse", "psnr"], results, {"task": "superres"})


def test_tables_say_the_same_to_people_and_programs(monkeypatch):
    lines = list(tab_separated(small_evaluation()))
    assert lines == [
        "what\ttau\tm\tn\trank\trmse\trmse_se\tpsnr\tpsnr_se",
        "bicubic\t\t\t\t\t20.7\t0.5\t\t",
        "model\t0.5\t10\t1\tlikelihood\t18.2012\t0.45\tinf\t",
        "model - bicubic\t0.5\t10\t1\tlikelihood\t-2.5\t0.1\t\t",
        "paper, published\t\t\t\t\t17.56\t\t\t",
    ]
    monkeypatch.setenv("COLUMNS", "100")
    text = rich_table(small_evaluation())
    for shown in ("rmse ↓", "psnr ↑", "18.20 ± 0.45", "∞", "− bicubic", "-2.50 ± 0.10", "17.56"):
        assert shown in text
    assert "model, τ 0.5, likeliest of 10" in text
