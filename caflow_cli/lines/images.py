"""The lines of images and pairs."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, TypedDict

from ..records import Count, Share, Size
from ..restoration.request import Chosen
from ..restoration.score import Estimator
from ..sampling import Sampling
from .calibration import Ends, Interval
from .common import (
    Candidate,
    Crop,
    Depth,
    Error,
    Line,
    Model,
    Output,
    Parts,
    Rank,
    Reason,
    ScoreFields,
    Seconds,
    ValueRange,
)


class InputFields(Line, total=False):
    mask: str
    hints: str


Typed: TypeAlias = Annotated[str, "As typed, or as found in a folder."]


class Marks(TypedDict):
    path: str


_Marks: TypeAlias = Annotated[Marks, "--marks: the image with its mask. Omitted without it."]


class Ensemble(TypedDict):
    """The file of the members of a measured field."""

    path: Annotated[str, "The file that was written."]
    members: Annotated[list[Size], "Seeds of the members, in the order of its bands."]


class _RestoredFields(InputFields):
    command: Literal["superres", "colorize", "inpaint", "sample"]
    input: Typed
    status: Literal["ok"]
    model: Model
    model_reason: Reason
    params: Sampling
    estimator: Estimator
    outputs: Annotated[
        list[Output | Ensemble],
        "The files written, in rank order. Files that --skip-existing kept are not listed, because "
        "they may contain other candidates.",
    ]
    candidates: Annotated[
        list[Candidate], "All candidates drawn, in rank order.", (("minItems", 1),)
    ]
    elapsed_s: Seconds


class Restored(_RestoredFields, total=False):
    """An image restored by `superres`, `colorize`, `inpaint` or `sample`."""

    # Edits add their fields, see `restoration.edits`.

    depth: Depth
    crop: Crop
    value_range: ValueRange
    tau_chosen: Annotated[Chosen, "--tau auto: what the field has chosen. Omitted without it."]
    interval: Annotated[Interval, "--interval. Omitted without it, or if a candidate diverged."]
    marks: _Marks
    parts: Parts


class File(TypedDict):
    rank: Rank
    path: str


_AnyCommand: TypeAlias = Literal["superres", "colorize", "inpaint", "mask", "sample"]


class _PlannedFields(InputFields):
    command: _AnyCommand
    input: Typed
    status: Annotated[
        Literal["planned", "skipped", "unchanged"],
        "planned: --dry-run; skipped: all outputs exist (--skip-existing); unchanged: a copy was "
        "written, because there was nothing to fill.",
    ]
    outputs: list[File]


class Planned(_PlannedFields, total=False):
    """An image for which nothing was drawn, because of `--dry-run`, `--skip-existing`, or a mask
    that marks nothing to fill."""

    model: Model
    model_reason: Annotated[str, "--dry-run: why this model was chosen."]
    megapixels: Annotated[
        float,
        "--dry-run: millions of pixels that each candidate has at the model's scale. Omitted by "
        "inpaint, where they depend on the hole.",
        (("exclusiveMinimum", 0),),
    ]
    candidates: Annotated[Count, "--dry-run: number of candidates that would be drawn."]
    interval: Annotated[
        Ends, "--interval: the files of the lower and the upper ends. Omitted without it."
    ]
    marks: _Marks


class _MaskedFields(Line):
    command: Literal["mask"]
    input: Typed
    status: Literal["ok"]
    share: Annotated[Share, "Share of the image's pixels that are marked."]
    outputs: list[File]
    elapsed_s: Seconds


class Masked(_MaskedFields, total=False):
    """A mask of the damage that `mask` found."""

    marks: _Marks


class FailedInput(InputFields):
    """An image that failed; the rest of the command completes."""

    command: _AnyCommand
    input: Typed
    status: Literal["error"]
    error: Error


class _PairFields(Line):
    command: Literal["score"]
    cond: str
    target: str


class PairFields(_PairFields, total=False):
    mask: str


class _ScoredFields(PairFields, ScoreFields):
    status: Literal["ok"]
    model: Model
    model_reason: Reason
    estimator: Estimator
    rank_score: Annotated[
        float, "log_likelihood, or, if scored in tiles or parts, the sum over them; nats."
    ]
    elapsed_s: Seconds


class Scored(_ScoredFields, total=False):
    """A pair that `score` scored."""

    parts: Parts
    member: Annotated[Size, "From 0, of the bands of an ensemble of fields."]
    seed: Annotated[Size, "Of the member of an ensemble, as the file states it."]


class FailedPair(PairFields):
    """A pair of `score` that failed."""

    status: Literal["error"]
    error: Error
