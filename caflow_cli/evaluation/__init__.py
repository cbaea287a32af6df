"""Evaluation of images against the truth, of sets against sets, and of models on data.

Importing this package imports no torch, so that the command line can describe metrics without it.
"""

from typing import TYPE_CHECKING

from ..lazy import on_demand
from .metrics import METRICS, Metric, Weights

if TYPE_CHECKING:
    from .choose import ChosenTemperature, choose_temperature
    from .compare import compare
    from .metrics.pairs import LpipsDistance, psnr, rmse, ssim
    from .result import Evaluation, Result
    from .run import evaluate

_HOMES = {
    "ChosenTemperature": ".choose",
    "Evaluation": ".result",
    "LpipsDistance": ".metrics.pairs",
    "Result": ".result",
    "choose_temperature": ".choose",
    "compare": ".compare",
    "evaluate": ".run",
    "psnr": ".metrics.pairs",
    "rmse": ".metrics.pairs",
    "ssim": ".metrics.pairs",
}

__all__ = [
    "METRICS",
    "ChosenTemperature",
    "Evaluation",
    "LpipsDistance",
    "Metric",
    "Result",
    "Weights",
    "choose_temperature",
    "compare",
    "evaluate",
    "psnr",
    "rmse",
    "ssim",
]


__getattr__ = on_demand(__name__, _HOMES)
