"""Evaluation: of pictures against the truth, of sets against sets, and of models on data.

Importing this package imports no torch: the command line describes metrics without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..lazy import on_demand
from .metrics import METRICS, Metric

if TYPE_CHECKING:
    from .benchmark_run import run_benchmark
    from .choose import Choice, choose_temperature
    from .json_lines import compare_lines
    from .metrics.formulas import psnr, rmse, ssim
    from .metrics.lpips import LpipsDistance
    from .metrics.weights import Weights
    from .model_on_data import evaluate
    from .result import Evaluation, Result
    from .two_sets import compare

_HOMES = {
    "Choice": ".choose",
    "Evaluation": ".result",
    "LpipsDistance": ".metrics.lpips",
    "Result": ".result",
    "Weights": ".metrics.weights",
    "choose_temperature": ".choose",
    "compare": ".two_sets",
    "compare_lines": ".json_lines",
    "evaluate": ".model_on_data",
    "psnr": ".metrics.formulas",
    "rmse": ".metrics.formulas",
    "run_benchmark": ".benchmark_run",
    "ssim": ".metrics.formulas",
}

__all__ = [
    "METRICS",
    "Choice",
    "Evaluation",
    "LpipsDistance",
    "Metric",
    "Result",
    "Weights",
    "choose_temperature",
    "compare",
    "compare_lines",
    "evaluate",
    "psnr",
    "rmse",
    "run_benchmark",
    "ssim",
]


__getattr__ = on_demand(__name__, _HOMES)
