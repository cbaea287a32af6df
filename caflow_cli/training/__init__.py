"""Training: `train(config)`, its configuration and what it reports."""

from .config import OptimConfig, RunConfig
from .journal import Event
from .loop import train
from .signals import Stopped
from .standing import Summary

__all__ = ["Event", "OptimConfig", "RunConfig", "Stopped", "Summary", "train"]
