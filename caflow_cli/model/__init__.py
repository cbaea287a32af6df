"""The model: its configuration, equation 9, and its files.

Importing this package imports no torch: the names that need it are loaded at first use. Configs and
headers of model files are read without.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .config import PRESETS, Config, FlowConfig, TaskConfig, parse, preset
from .info import SCHEMA, CheckpointInfo, read_info

if TYPE_CHECKING:
    from .caflow import CAFlow, Encoding, LossTerms, bits_per_dim
    from .checkpoint import load_checkpoint, save_checkpoint

_HOMES = {
    "CAFlow": ".caflow",
    "Encoding": ".caflow",
    "LossTerms": ".caflow",
    "bits_per_dim": ".caflow",
    "load_checkpoint": ".checkpoint",
    "save_checkpoint": ".checkpoint",
}

__all__ = [
    "PRESETS",
    "SCHEMA",
    "CAFlow",
    "CheckpointInfo",
    "Config",
    "Encoding",
    "FlowConfig",
    "LossTerms",
    "TaskConfig",
    "bits_per_dim",
    "load_checkpoint",
    "parse",
    "preset",
    "read_info",
    "save_checkpoint",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value
