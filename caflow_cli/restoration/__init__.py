"""Inference: from an image to ranked candidates, and from a pair to its likelihood."""

from .arguments import seen_by, strokes_of
from .candidate import Candidate, Request
from .conditions import to_batch
from .conformal import mean_width
from .domain import describe_domain, domain_warning
from .figures import (
    grid_row,
    interval_chart,
    spread,
    thumbnail,
    uncertainty_chart,
    uncertainty_map,
)
from .rank import order, rmse_between
from .restore import restore, restore_images, score
from .result import Candidates
from .sample import Sampler, requests_at_a_time
from .score import Score, estimator_of, task_of
from .whole import Whole

__all__ = [
    "Candidate",
    "Candidates",
    "Request",
    "Sampler",
    "Score",
    "Whole",
    "describe_domain",
    "domain_warning",
    "estimator_of",
    "grid_row",
    "interval_chart",
    "mean_width",
    "order",
    "requests_at_a_time",
    "restore",
    "restore_images",
    "rmse_between",
    "score",
    "seen_by",
    "spread",
    "strokes_of",
    "task_of",
    "thumbnail",
    "to_batch",
    "uncertainty_chart",
    "uncertainty_map",
]
