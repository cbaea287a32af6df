"""Training: `train(config)`, its configuration and what it reports."""

from .config import OptimConfig, RunConfig
from .events import Event
from .loop import train
from .progress import RunSummary
from .signals import Stopped

__all__ = ["Event", "OptimConfig", "RunConfig", "RunSummary", "Stopped", "train"]
