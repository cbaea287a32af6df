"""Metrics of pictures against the truth, of sets against sets, and of models on data.

Importing this package imports no torch: the command line describes metrics without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .catalogue import METRICS, Metric

if TYPE_CHECKING:
    from .comparison import compare
    from .lines import compare_lines
    from .lpips import LpipsDistance
    from .metrics import psnr, rmse, ssim
    from .on_data import evaluate
    from .result import Evaluation, Result
    from .weights import Weights

_HOMES = {
    "Evaluation": ".result",
    "LpipsDistance": ".lpips",
    "Result": ".result",
    "Weights": ".weights",
    "compare": ".comparison",
    "compare_lines": ".lines",
    "evaluate": ".on_data",
    "psnr": ".metrics",
    "rmse": ".metrics",
    "ssim": ".metrics",
}

__all__ = [
    "METRICS",
    "Evaluation",
    "LpipsDistance",
    "Metric",
    "Result",
    "Weights",
    "compare",
    "compare_lines",
    "evaluate",
    "psnr",
    "rmse",
    "ssim",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value
