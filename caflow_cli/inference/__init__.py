"""Inference: from an image to ranked candidates, and from a pair to its likelihood."""

from .arguments import seen_by
from .domain import describe_domain, far_note
from .draw import to_batch
from .figures import (
    attribution_chart,
    grid_row,
    spread,
    thumbnail,
    uncertainty_chart,
    uncertainty_map,
)
from .maps import Attribution, attribution, log_prob_map
from .restore import Drawing, order, restore, restore_images, rmse_between, score
from .result import Candidates
from .sample import Candidate, Request, Sampler, requests_at_a_time
from .score import Score, estimator_of, task_of
from .tiles import check_size

__all__ = [
    "Attribution",
    "Candidate",
    "Candidates",
    "Drawing",
    "Request",
    "Sampler",
    "Score",
    "attribution",
    "attribution_chart",
    "check_size",
    "describe_domain",
    "estimator_of",
    "far_note",
    "grid_row",
    "log_prob_map",
    "order",
    "requests_at_a_time",
    "restore",
    "restore_images",
    "rmse_between",
    "score",
    "seen_by",
    "spread",
    "task_of",
    "thumbnail",
    "to_batch",
    "uncertainty_chart",
    "uncertainty_map",
]
