from __future__ import annotations

import re

import pytest

from caflow_cli.evaluation.estimates import Estimate
from caflow_cli.evaluation.report.plots import sweep_plot
from caflow_cli.evaluation.result import Evaluation, Result
from caflow_cli.evaluation.settings import Cell


def test_a_sweep_is_drawn_where_its_figures_are():
    def result(tau, m, rmse, lpips):
        values = {"rmse": Estimate(rmse, 0.1, 9), "lpips": Estimate(lpips, 0.01, 9)}
        return Result("model", values, Cell(tau, m, 1))

    rows = [result(0.3, 1, 16, 0.2), result(0.9, 1, 20, 0.1), result(0.3, 9, 15, 0.2)]
    drawn = sweep_plot(Evaluation("model", 9, ["rmse", "lpips"], rows))
    assert drawn is not None
    found = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', drawn)
    places = [(float(x), float(y)) for x, y in found]
    assert len(places) == 3
    (x1, y1), (x2, y2), (x3, y3) = places
    assert x3 < x1 < x2  # rmse grows to the right
    assert y1 == y3 < y2  # lpips grows upwards
    assert (x2 - x1) == pytest.approx(4 * (x1 - x3), abs=0.5)
    assert sweep_plot(Evaluation("model", 9, ["rmse", "lpips"], rows[:1])) is None
