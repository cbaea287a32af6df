"""Inference: from a picture to ranked candidates, and from a pair to its likelihood."""

from .domain import Domain, describe_domain
from .maps import Attribution, attribution, log_prob_map, spread
from .restore import Drawing, restore, restore_alike, restore_with
from .results import Candidate, Candidates
from .score import Estimator, Score, estimator_of, score, task_of

__all__ = [
    "Attribution",
    "Candidate",
    "Candidates",
    "Domain",
    "Drawing",
    "Estimator",
    "Score",
    "attribution",
    "describe_domain",
    "estimator_of",
    "log_prob_map",
    "restore",
    "restore_alike",
    "restore_with",
    "score",
    "spread",
    "task_of",
]
