"""Training: `train(config)`, its configuration and its reports.

Importing this package imports no torch: a config is checked without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import OptimConfig, RunConfig
    from .events import Event
    from .loop import train
    from .progress import RunSummary
    from .signals import Stopped

_HOMES = {
    "Event": ".events",
    "OptimConfig": ".config",
    "RunConfig": ".config",
    "RunSummary": ".progress",
    "Stopped": ".signals",
    "train": ".loop",
}

__all__ = ["Event", "OptimConfig", "RunConfig", "RunSummary", "Stopped", "train"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value
