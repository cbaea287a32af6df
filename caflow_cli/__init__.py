"""caflow: conditional autoregressive flows for images, with the exact log-likelihood.

Importing this package imports no torch; the names below are loaded at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .config import Config
    from .errors import CaflowError
    from .evaluation import evaluate
    from .hub.resolve import load
    from .inference import Candidates, Score, restore, score
    from .model import CAFlow
    from .training import OptimConfig, RunConfig, train

_HOMES = {
    "CAFlow": ".model",
    "CaflowError": ".errors",
    "Candidates": ".inference",
    "Config": ".config",
    "OptimConfig": ".training",
    "RunConfig": ".training",
    "Score": ".inference",
    "evaluate": ".evaluation",
    "load": ".hub.resolve",
    "restore": ".inference",
    "score": ".inference",
    "train": ".training",
}

__all__ = [
    "CAFlow",
    "CaflowError",
    "Candidates",
    "Config",
    "OptimConfig",
    "RunConfig",
    "Score",
    "__version__",
    "evaluate",
    "load",
    "restore",
    "score",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
