"""Evaluation: of pictures against the truth, of sets against sets, and of models on data.

Importing this package imports no torch: the command line describes metrics without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .metrics import METRICS, Metric

if TYPE_CHECKING:
    from .defaults import FoundDefaults, search_defaults, write_defaults
    from .json_lines import compare_lines
    from .metrics.formulas import psnr, rmse, ssim
    from .metrics.lpips import LpipsDistance
    from .metrics.weights import Weights
    from .model_on_data import evaluate
    from .result import Evaluation, Result
    from .two_sets import compare

_HOMES = {
    "Evaluation": ".result",
    "FoundDefaults": ".defaults",
    "LpipsDistance": ".metrics.lpips",
    "Result": ".result",
    "Weights": ".metrics.weights",
    "compare": ".two_sets",
    "compare_lines": ".json_lines",
    "evaluate": ".model_on_data",
    "psnr": ".metrics.formulas",
    "rmse": ".metrics.formulas",
    "search_defaults": ".defaults",
    "ssim": ".metrics.formulas",
    "write_defaults": ".defaults",
}

__all__ = [
    "METRICS",
    "Evaluation",
    "FoundDefaults",
    "LpipsDistance",
    "Metric",
    "Result",
    "Weights",
    "compare",
    "compare_lines",
    "evaluate",
    "psnr",
    "rmse",
    "search_defaults",
    "ssim",
    "write_defaults",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value
