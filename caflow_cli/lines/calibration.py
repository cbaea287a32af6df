"""The lines of calibrations, and the fields of calibrated intervals."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from ..checkpoint import Reaches
from ..records import Between, Count, NonNegative, Share
from .common import PAIR, Line, Model, Seconds

_Interval = TypedDict(
    "_Interval",
    {
        "level": Annotated[
            Between,
            "Share of values that lie within their intervals, on average over images of the same "
            "kind as those of the calibration.",
        ],
        "lambda": Reaches,
        "mean_width": Annotated[NonNegative, "Mean width of the image's intervals, in levels."],
    },
)


class Interval(_Interval, total=False):
    low: Annotated[str, "The file with the lower ends. Omitted if an existing one was kept."]
    high: Annotated[str, "The file with the upper ends. Omitted if an existing one was kept."]


class Ends(TypedDict):
    low: str
    high: str


class _CalibrateFields(Line):
    command: Literal["calibrate"]
    status: Literal["ok"]
    model: Model
    elapsed_s: Seconds


class Calibrated(_CalibrateFields):
    """A calibration that `calibrate` wrote."""

    # The fields of `model.Calibration` are added.

    output: Annotated[str, "The file that was written."]


class Checked(_CalibrateFields):
    """What `calibrate --check` measured."""

    images: Annotated[Count, "Number of images."]
    coverage: Annotated[
        Share, "Share of values within their intervals, ends included; mean over images."
    ]
    standard_error: Annotated[
        NonNegative | None, "Standard error of coverage over images; null for one image."
    ]
    quantiles: Annotated[list[Share], "5 and 95 % quantiles of the share, over images.", PAIR]
    width: Annotated[NonNegative, "Mean width of the intervals, in levels."]
