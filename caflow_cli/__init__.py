"""caflow: conditional autoregressive flows for images, with the exact log-likelihood.

Importing this package imports no torch; the names below are loaded at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lazy import on_demand
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


__getattr__ = on_demand(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
