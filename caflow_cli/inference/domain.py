"""Detect images unlike the training data, by statistics of their condition."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..devices import to_float64
from ..model import CAFlow, Condition

Statistics: TypeAlias = npt.NDArray[np.float64]  # (S,) of a condition, (B, S) of several
_FAR = 1.15  # times the distance of the farthest reference image


def statistics(condition: Condition) -> Statistics:
    """The mean and the log standard deviation, over space, of each channel of R(y): (B, S).

    They cost almost nothing, because sampling and scoring compute R(y) anyway.
    """
    values: list[Tensor] = []
    for d in map(to_float64, condition.d):
        values += [d.mean((2, 3)), d.var((2, 3), correction=0).clamp_min(1e-12).log() / 2]
    return torch.cat(values, 1).cpu().numpy()


def describe_domain(model: CAFlow, conditions: Tensor) -> dict[str, Any] | None:
    """Summarize the statistics of reference conditions, uint8 (B, C, H, W), for a model's file.

    Returns:
        The mean and standard deviation of each statistic, and the largest distance of a condition:
        the RMS of `(statistic - mean) / deviation`. None for fewer than two conditions.
    """
    if len(conditions) < 2:
        return None
    values = np.concatenate(
        [statistics(model.encode_condition(part)) for part in conditions.split(50)]
    )
    mean = values.mean(0)
    deviation = values.std(0, ddof=1).clip(min=1e-6)
    distances = np.sqrt(np.square((values - mean) / deviation).mean(1))
    return {
        "pictures": len(values),
        "farthest": round(float(distances.max()), 5),
        "mean": [round(float(x), 5) for x in mean],
        "deviation": [max(round(float(x), 5), 1e-5) for x in deviation],
    }


def domain_warning(model: CAFlow, values: Statistics) -> str | None:
    """The note on an image that is more than 1.15 times as far from the training data as the
    farthest validation image; None for any other image.

    Args:
        model: Any model; `domain` in its record may be missing or incomplete.
        values: `statistics` of the image's condition.
    """
    domain: Any = model.record.get("domain")
    try:
        mean = np.array(domain["mean"], np.float64)
        deviation = np.array(domain["deviation"], np.float64)
        images = int(domain["pictures"])
        farthest = float(domain["farthest"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    if not len(mean) == len(deviation) == len(values) or not (deviation > 0).all():
        return None
    distance = float(np.sqrt(np.square((values - mean) / deviation).mean()))
    if not distance > _FAR * farthest:
        return None
    return (
        f"this image is unlike the training data of {model.identity['id']}: the distance of its "
        f"statistics is {distance:.1f}, but at most {farthest:.1f} for the {images} validation "
        "images; if the result is wrong, try another --model"
    )
