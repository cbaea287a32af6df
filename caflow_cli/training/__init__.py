"""Training: `train(config)`, its configuration and its reports.

Importing this package imports no torch, which checking a config does not need.
"""

from typing import TYPE_CHECKING

from ..lazy import on_demand

if TYPE_CHECKING:
    from .config import OptimConfig, RunConfig, SamplesConfig
    from .log import Event, RunSummary
    from .loop import Stopped, train

_HOMES = {
    "Event": ".log",
    "OptimConfig": ".config",
    "SamplesConfig": ".config",
    "RunConfig": ".config",
    "RunSummary": ".log",
    "Stopped": ".loop",
    "train": ".loop",
}

__all__ = ["Event", "OptimConfig", "RunConfig", "RunSummary", "SamplesConfig", "Stopped", "train"]


__getattr__ = on_demand(__name__, _HOMES)
