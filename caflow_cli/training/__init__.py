"""Training: `train(config)`, its configuration and what it reports."""

from .config import OptimConfig, RunConfig
from .journal import Event
from .loop import Summary, train
from .signals import Stopped

__all__ = ["Event", "OptimConfig", "RunConfig", "Stopped", "Summary", "train"]
