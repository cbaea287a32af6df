"""Detect images unlike the training data, by statistics of their condition."""

import math
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..config import HOLE
from ..devices import to_float64
from ..images import Pixels, is_gray
from ..model import CAFlow, Condition
from ..records import Table
from ..tasks import get_task

Statistics: TypeAlias = npt.NDArray[np.float64]  # (S,) of a condition, (B, S) of several
_FACTOR = 1.25  # times the largest distance, or the range, of the reference images
_SMALLEST = 96  # pixels: side below which statistics of photographs vary too much
_LARGEST = 1024  # pixels: side of the region in which noise and contrast are measured
# The range of photographs, in levels: the validation images of photos-superres-x4, as they are and
# shrunk four times.
_NOISE = (0.26, 13.0)
_CONTRAST = (22.4, 93.3)
_LUMA = (0.299, 0.587, 0.114)  # Rec. 601


def statistics(condition: Condition) -> Statistics:
    """The mean and the log standard deviation, over space, of each channel of R(y): (B, S).

    They cost almost nothing, because sampling and scoring compute R(y) anyway.
    """
    values: list[Tensor] = []
    for d in map(to_float64, condition.d):
        variance = d.var((2, 3), correction=0).clamp_min(1e-12)
        values.append(d.mean((2, 3)))
        values.append(variance.log() / 2)
    return torch.cat(values, 1).cpu().numpy()


def describe_domain(model: CAFlow, conditions: Tensor) -> Table | None:
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
    z = (values - mean) / deviation
    distances = np.sqrt(np.square(z).mean(1))
    return {
        "images": len(values),
        "farthest": round(float(distances.max()), 5),
        "mean": [round(float(x), 5) for x in mean],
        "deviation": [max(round(float(x), 5), 1e-5) for x in deviation],
    }


def domain_warning(
    model: CAFlow, values: Statistics, image: Pixels, mask: Pixels | None = None
) -> str | None:
    """The note on an image that is unlike the training data; None for any other image.

    Such an image is more than 1.25 times as far from the training data as the farthest validation
    image. For a model of photographs, it may also have noise or contrast beyond 1.25 times the
    range of photographs, or below this range divided by 1.25; images with a side below 96, whose
    statistics vary much, get no note.

    Args:
        model: Any model; `domain` in its record may be missing or incomplete.
        values: `statistics` of the image's condition.
        image: uint8 (H, W, 3).
        mask: uint8 (H, W), white in the hole, which is left out.
    """
    task = get_task(model.config)
    if task.of_photographs and min(image.shape[:2]) < _SMALLEST:
        return None
    distance, farthest, count = _distance(model.record.get("domain"), values)
    is_far = distance > _FACTOR * farthest
    cause = _unusual(image, mask) if is_far or task.of_photographs else None
    if not is_far and cause is None:
        return None
    if cause is None and task.cond_channels >= 3 and is_gray(image):
        cause = "it is gray, without color; colorize it first"
    if cause is None:
        cause = (
            f"the distance of its statistics is {distance:.1f}, but at most {farthest:.1f} for "
            f"the {count} validation images; if the result is wrong, try another --model"
        )
    return f"this image is unlike the training data of {model.identity['id']}: {cause}"


def _distance(domain: Any, values: Statistics) -> tuple[float, float, int]:
    """The distance of statistics, the largest of the reference, and how many images that has.

    Without a usable reference, the first two are zero.
    """
    try:
        mean = np.array(domain["mean"], np.float64)
        deviation = np.array(domain["deviation"], np.float64)
        count = int(domain["images"])
        farthest = float(domain["farthest"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0.0, 0.0, 0
    if not len(mean) == len(deviation) == len(values) or not (deviation > 0).all():
        return 0.0, 0.0, 0
    z = (values - mean) / deviation
    distance = float(np.sqrt(np.square(z).mean()))
    return distance, farthest, count


def _unusual(image: Pixels, mask: Pixels | None) -> str | None:
    """What is unusual about an image, compared with photographs, and what to try; or None."""
    noise, contrast = _noise_and_contrast(image, mask)
    if contrast > _FACTOR * _CONTRAST[1]:
        return (
            f"its contrast is {contrast:.0f} levels, in photographs at most {_CONTRAST[1]:.0f}; "
            "scan in shades of gray, not in black and white, or blur it slightly first"
        )
    if noise > _FACTOR * _NOISE[1]:
        return (
            f"its noise is {noise:.0f} levels, in photographs at most {_NOISE[1]:.0f}; denoise or "
            "blur it slightly first"
        )
    if contrast < _CONTRAST[0] / _FACTOR:
        return (
            f"its contrast is {contrast:.0f} levels, in photographs at least {_CONTRAST[0]:.0f}; "
            "stretch its levels first"
        )
    if noise < _NOISE[0] / _FACTOR:
        return "it has no noise or texture, as photographs have; resize it without a model"
    return None


def _noise_and_contrast(image: Pixels, mask: Pixels | None) -> tuple[float, float]:
    """Noise (Immerkær 1996) and standard deviation of the luma, in levels of 0-255.

        noise = sqrt(π / 2) / 6  mean |luma * [1 -2 1; -2 4 -2; 1 -2 1]|

    Both are those of the central 1024×1024 pixels, outside the hole.
    """
    top = max(0, (image.shape[0] - _LARGEST) // 2)
    left = max(0, (image.shape[1] - _LARGEST) // 2)
    center = (slice(top, top + _LARGEST), slice(left, left + _LARGEST))
    luma = image[center].astype(np.float32) @ np.array(_LUMA, np.float32)
    known = np.ones(luma.shape, np.bool_)
    if mask is not None:
        known = mask[center] < HOLE
    curvature = luma
    near = known  # pixels all of whose neighbors are known
    for _ in range(2):  # along columns, then along rows
        curvature = curvature[2:] - 2 * curvature[1:-1] + curvature[:-2]
        curvature = curvature.T
        near = near[2:] & near[1:-1] & near[:-2]
        near = near.T
    if not near.any():
        return _NOISE[0], _CONTRAST[0]
    noise = math.sqrt(math.pi / 2) / 6 * float(np.abs(curvature[near]).mean())
    contrast = float(luma[known].std())
    return noise, contrast
