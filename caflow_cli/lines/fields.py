"""The lines of measured fields."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from ..records import NonNegative, Size
from ..restoration.score import Estimator
from ..sampling import RankRule, Sampling
from .common import Line, Model, Predicted, Rank, Reason, Seconds
from .images import Typed


class _FieldScoreFields(TypedDict):
    log_likelihood: Annotated[
        float | None,
        "Logarithm of a density of the field in its unit to the power -wet, in nats. Fields with "
        "different numbers of wet cells are not comparable. Members lie on the plane of fields "
        "with the means of the input, on which it ranks, but is no posterior density. Null for a "
        "member that is the guide's prediction.",
    ]
    unit: str
    wet: Annotated[Size, "Number of wet cells, or of all cells if none can be dry."]
    dry: Annotated[Size, "Number of dry cells. Missing cells are in neither number."]


class FieldScoreFields(_FieldScoreFields, total=False):
    standard_error: Annotated[
        NonNegative,
        "Standard error of log_likelihood over the noise samples, in nats; only with "
        "--noise-samples above 1.",
    ]


class _MemberFields(FieldScoreFields):
    k: Annotated[Size, "From 0, in the order in which members were drawn."]
    rank: Rank
    rank_by: Annotated[RankRule, "The rule that gave the rank."]
    seed: Annotated[Size, "`--seed SEED -m 1` draws this member again."]
    redraws: Annotated[Size, "How often it was redrawn, because a draw diverged."]


class Member(_MemberFields, total=False):
    """A member of an ensemble, written or not."""

    predicted: Predicted


class Ensemble(TypedDict):
    """A file of members, in the order of its bands."""

    path: Annotated[str, "The file that was written."]
    members: Annotated[list[Size], "Seeds of the members."]


class _RestoredFieldFields(Line):
    command: Literal["superres", "sample"]
    input: Typed
    status: Literal["ok"]
    model: Model
    model_reason: Reason
    params: Sampling
    estimator: Estimator
    outputs: Annotated[list[Ensemble], "The file written; empty if it is stdout."]
    candidates: Annotated[list[Member], "All members drawn, in rank order.", (("minItems", 1),)]
    elapsed_s: Seconds


class RestoredField(_RestoredFieldFields):
    """An ensemble for a measured field."""


class _ScoredFieldFields(FieldScoreFields, Line):
    command: Literal["score"]
    cond: str
    target: str
    status: Literal["ok"]
    model: Model
    model_reason: Reason
    estimator: Estimator
    elapsed_s: Seconds


class ScoredField(_ScoredFieldFields, total=False):
    """A field, or a member of an ensemble, that `score` scored."""

    member: Annotated[Size, "From 0, of the bands of an ensemble."]
    seed: Annotated[Size, "Of the member, as the file states it."]
