"""Metrics of pictures against the truth, of sets against sets, and of models on data.

Importing this package imports no torch: the command line describes metrics without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .catalogue import METRICS, Metric

if TYPE_CHECKING:
    from .lpips import LpipsDistance
    from .metrics import psnr, rmse, ssim

_HOMES = {
    "LpipsDistance": ".lpips",
    "psnr": ".metrics",
    "rmse": ".metrics",
    "ssim": ".metrics",
}

__all__ = ["METRICS", "LpipsDistance", "Metric", "psnr", "rmse", "ssim"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name], __name__), name)
