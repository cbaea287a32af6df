"""From a picture to ranked candidates, and from a pair to its likelihood."""

from .device import select_device
from .restore import Candidate, Candidates, restore
from .score import Score, estimator_of, score, task_of

__all__ = [
    "Candidate",
    "Candidates",
    "Score",
    "estimator_of",
    "restore",
    "score",
    "select_device",
    "task_of",
]
