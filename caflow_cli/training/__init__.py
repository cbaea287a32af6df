"""Training: `train(config)`, its configuration and its reports.

Importing this package imports no torch, which checking a config does not need.
"""

from typing import TYPE_CHECKING

from ..lazy import on_demand

if TYPE_CHECKING:
    from .config import (
        OptimConfig as OptimConfig,
        RunConfig as RunConfig,
        SamplesConfig as SamplesConfig,
    )
    from .log import Event as Event, RunSummary as RunSummary
    from .loop import Stopped as Stopped, train as train

_HOMES = {
    "Event": ".log",
    "OptimConfig": ".config",
    "SamplesConfig": ".config",
    "RunConfig": ".config",
    "RunSummary": ".log",
    "Stopped": ".loop",
    "train": ".loop",
}

__all__ = [*_HOMES]
__getattr__ = on_demand(__name__, _HOMES)
