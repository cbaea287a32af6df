"""Training: `train(config)`, its configuration and what it reports."""

from .config import OptimConfig, RunConfig
from .loop import Event, Summary, train

__all__ = ["Event", "OptimConfig", "RunConfig", "Summary", "train"]
