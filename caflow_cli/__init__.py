"""caflow: conditional autoregressive flows for images, with their log-densities.

Importing this package imports no torch; the names below are loaded at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .lazy import on_demand
from .version import __version__

if TYPE_CHECKING:
    from .config import Config as Config
    from .damage import find_damage as find_damage
    from .errors import CaflowError as CaflowError
    from .evaluation import evaluate as evaluate
    from .hub.choice import choose_model as choose_model
    from .hub.resolve import load as load
    from .intervals import interval as interval
    from .model import CAFlow as CAFlow
    from .restoration import (
        Candidates as Candidates,
        Score as Score,
        restore as restore,
        score as score,
    )
    from .training import OptimConfig as OptimConfig, RunConfig as RunConfig, train as train

_HOMES = {
    "CAFlow": ".model",
    "CaflowError": ".errors",
    "Candidates": ".restoration",
    "Config": ".config",
    "OptimConfig": ".training",
    "RunConfig": ".training",
    "Score": ".restoration",
    "choose_model": ".hub.choice",
    "evaluate": ".evaluation",
    "find_damage": ".damage",
    "interval": ".intervals",
    "load": ".hub.resolve",
    "restore": ".restoration",
    "score": ".restoration",
    "train": ".training",
}
__all__ = ["__version__", *_HOMES]
__getattr__ = on_demand(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
