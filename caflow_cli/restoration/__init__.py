"""Restoration: from an image to ranked candidates, and from a pair to its likelihood."""

from .candidates import Candidate, Candidates
from .chosen import choose_tau, summary_of, with_chosen_tau
from .conditions import Conditions, Diverged, Divergence, to_batch
from .domain import describe_domain, domain_warning
from .draw import draw, predicted, requests_at_a_time
from .edits import EDITS, EditOptions, edits_of
from .figures import (
    FILL,
    marks_over,
    moments,
    spread,
    thumbnail,
    uncertainty_chart,
    uncertainty_map,
)
from .rank import order, rmse_between
from .request import Chosen, Request, encode, prepare, seconds_to_draw, task_of
from .restore import restore, score
from .score import DEPTH_RULE, Score, estimator_of, score_images
from .whole import Whole

__all__ = [
    "DEPTH_RULE",
    "EDITS",
    "FILL",
    "Candidate",
    "Candidates",
    "Chosen",
    "Conditions",
    "Diverged",
    "Divergence",
    "EditOptions",
    "Request",
    "Score",
    "Whole",
    "choose_tau",
    "describe_domain",
    "domain_warning",
    "draw",
    "edits_of",
    "encode",
    "estimator_of",
    "marks_over",
    "moments",
    "order",
    "predicted",
    "prepare",
    "requests_at_a_time",
    "restore",
    "rmse_between",
    "score",
    "score_images",
    "seconds_to_draw",
    "spread",
    "summary_of",
    "task_of",
    "thumbnail",
    "to_batch",
    "uncertainty_chart",
    "uncertainty_map",
    "with_chosen_tau",
]
