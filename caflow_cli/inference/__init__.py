"""Inference: from an image to ranked candidates, and from a pair to its likelihood."""

from .domain import describe_domain
from .draw import to_batch
from .figures import spread
from .maps import Attribution, attribution, log_prob_map
from .restore import Drawing, distances, order, restore, restore_images, score
from .result import Candidates
from .sample import Candidate, Request, Sampler
from .score import Score, estimator_of, task_of

__all__ = [
    "Attribution",
    "Candidate",
    "Candidates",
    "Drawing",
    "Request",
    "Sampler",
    "Score",
    "attribution",
    "describe_domain",
    "distances",
    "estimator_of",
    "log_prob_map",
    "order",
    "restore",
    "restore_images",
    "score",
    "spread",
    "task_of",
    "to_batch",
]
