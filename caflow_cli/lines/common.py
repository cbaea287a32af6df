"""What several JSON lines share."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, TypedDict

from ..records import Count, NonNegative, Size
from ..sampling import RankRule

PAIR = (("minItems", 2), ("maxItems", 2))
Sha256: TypeAlias = Annotated[str, (("pattern", "^[0-9a-f]{64}$"),)]
Commit: TypeAlias = Annotated[str, (("pattern", "^[0-9a-f]{40}$"),)]
Temperature: TypeAlias = Annotated[list[NonNegative], (("minItems", 1),)]
Rank: TypeAlias = Annotated[Count, "From 1 (best)."]
Reason: TypeAlias = Annotated[str, "Why this model was chosen."]
Seconds: TypeAlias = Annotated[NonNegative, "Seconds."]


class Line(TypedDict):
    schema: Literal[3]


class Error(TypedDict):
    """What is wrong."""

    code: Annotated[
        Literal[1, 2, 3], "The exit code of a process that fails for this reason alone."
    ]
    message: str
    hint: Annotated[str, "What to type instead."]


class GuideOf(TypedDict):
    name: Annotated[str, "File name."]
    sha256: Sha256


class _ModelFields(TypedDict):
    id: Annotated[str, "Manifest id, Hub repository, or file name: never a local path."]
    sha256: Sha256


class Model(_ModelFields, total=False):
    """The model that was used."""

    guide: Annotated[
        GuideOf,
        "The network of another project that is the model's guide. Omitted if the guide is "
        "caflow's own.",
    ]


class Part(TypedDict):
    window: Annotated[
        list[Size],
        "Left, top, width and height of what the model sees, in pixels of the image.",
        (("minItems", 4), ("maxItems", 4)),
    ]
    pixels: Annotated[Count, "Number of pixels of the hole that are filled here."]
    shrunk: Annotated[bool, "Whether the window is downsampled for the model."]


Parts: TypeAlias = Annotated[
    list[Part], "inpaint: the windows in which the hole is filled, in order.", (("minItems", 1),)
]


_Window: TypeAlias = Annotated[list[Size], None, (("minItems", 4), ("maxItems", 4))]
Predicted: TypeAlias = Annotated[
    list[_Window],
    "Left, top, width and height of the windows of it of which all draws diverged: parts, tiles or "
    "the whole. There it is the guide's prediction (of a field the medians). So it has no score, "
    "and ranks last. Omitted if there are none.",
    (("minItems", 1),),
]


Crop: TypeAlias = Annotated[
    list[int],
    "--crop: left, top, width and height of the part of the input that was restored. Omitted if it "
    "is the whole.",
    (("minItems", 4), ("maxItems", 4)),
]


ValueRange: TypeAlias = Annotated[
    list[float],
    "--value-range: the values of black and white in the input. Omitted without it.",
    PAIR,
]


Depth: TypeAlias = Annotated[
    Literal[16],
    "Bits per channel, stated if they are 16. Values that the condition determines are then "
    "measured in bins of 1/256 level, all others in levels of 8 bits.",
]


class _ScoreFields(TypedDict):
    log_likelihood: Annotated[
        float | None,
        "Log-likelihood of the scored pair on the 8-bit scale, in nats; for a hole filled in "
        "parts, the sum over them. Null if scored in tiles, which have no joint density, if "
        "some parts are downsampled, or if the guide predicts a window.",
    ]
    bits_per_dim: Annotated[
        float | None,
        "-log_likelihood / (D ln 2), where D = scored width x height x 3, times the number of "
        "parts of a hole.",
    ]
    score_domain: Annotated[
        Literal["image", "reduced", "tiles", "parts"],
        "What was scored. image: the image itself; reduced: what the task reduces it to at the "
        "model's size; tiles: an image too large for one piece, in overlapping tiles; parts: the "
        "windows onto a hole, one after the other.",
    ]
    scored_size: Annotated[
        list[Count], "Width and height of what was scored; for a hole, of each part.", PAIR
    ]
    score_exact: Annotated[bool, "Whether the written pixels are exactly those that were scored."]


class ScoreFields(_ScoreFields, total=False):
    depth: Depth
    unit: Annotated[
        str,
        "Of measured fields: log_likelihood is the logarithm of a density of the field in its unit "
        "to the power -wet. Fields with different numbers of wet cells are not comparable. Members "
        "lie on the plane of fields with the means of the input, on which it ranks, but is no "
        "posterior density.",
    ]
    wet: Annotated[Size, "Number of wet cells, or of all cells if none can be dry."]
    dry: Annotated[Size, "Number of dry cells. Missing cells are in neither number."]
    standard_error: Annotated[
        NonNegative,
        "Standard error of log_likelihood over the noise samples, in nats; only with "
        "--noise-samples above 1.",
    ]
    known_values: Annotated[
        Size,
        "Inpainting: number of scored values that are known from the condition. Their nats are "
        "those of dequantization noise.",
    ]
    unknown_values: Annotated[
        Count,
        "Inpainting, and images of 16 bits: number of scored values that are not known from the "
        "condition.",
    ]


class _DrawnFields(ScoreFields):
    rank: Rank
    seed: Annotated[Size, "`--seed SEED -m 1` draws this candidate again."]
    rank_by: Annotated[RankRule, "The rule that gave the rank."]
    rank_value: Annotated[
        float | None,
        "The value by which the rule ranks it: for likelihood, the rank_score in nats; for "
        "consensus, the mean RMSE to the other candidates in levels. Null if the rule has no "
        "value.",
    ]
    redraws: Annotated[
        Size,
        "How often windows of it were redrawn, from the next latents of its generator, because a "
        "draw failed its check; summed over all parts and tiles.",
    ]
    rank_score: Annotated[
        float | None,
        "log_likelihood, or, if scored in tiles or parts, the sum over them; nats. Null for a "
        "single candidate drawn in tiles, which is not scored unless --rank is given, and if the "
        "guide predicts a window.",
    ]


class DrawnFields(_DrawnFields, total=False):
    predicted: Predicted
    consistency_max: Annotated[
        NonNegative,
        "superres: the largest difference between the downsampled image and the input, in levels "
        "of 8 bits; omitted above 64 megapixels.",
    ]


class Output(DrawnFields):
    """A file that was written."""

    path: Annotated[str, "The file that was written."]


class Candidate(DrawnFields):
    """A candidate, written or not."""

    k: Annotated[Size, "From 0, in the order in which candidates were drawn."]
