"""Detect images unlike the training data, by statistics of their condition."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..devices import to_float64
from ..flows.scale import latent_channels
from ..model import CAFlow, Condition
from ..records import Table

Statistics: TypeAlias = npt.NDArray[np.float64]  # (S,) of a condition, (B, S) of several
_MOST = 2.75  # excess of variation, in standard deviations of the reference images


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
        The mean and standard deviation of each statistic; None for fewer than two conditions.
    """
    if len(conditions) < 2:
        return None
    values = np.concatenate(
        [statistics(model.encode_condition(part)) for part in conditions.split(50)]
    )
    deviation = values.std(0, ddof=1)
    return {
        "images": len(values),
        "mean": [round(float(x), 5) for x in values.mean(0)],
        "deviation": [max(round(float(x), 5), 1e-5) for x in deviation],
    }


def domain_warning(model: CAFlow, values: Statistics) -> str | None:
    """The note on an image whose result is probably bad, as R(y) varies more than that of training
    images: noise, dots or stripes. None for any other image, and without a usable reference.

    The excess is how much larger the deviations of R(y) are at the finest scale: the RMS over
    channels of the standardized log deviation, where it is positive. Less variation, means of R(y),
    contrast and missing color predict no failure.

    Args:
        model: Any model; `domain` in its record may be missing or incomplete.
        values: `statistics` of the image's condition.
    """
    domain: Any = model.record.get("domain")
    try:
        mean = np.array(domain["mean"], np.float64)
        deviation = np.array(domain["deviation"], np.float64)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    if not len(mean) == len(deviation) == len(values) or not (deviation > 0).all():
        return None
    flow = model.config.flow
    finest = latent_channels(flow.r_channels, flow.scales - 1, flow.scales)
    z = ((values - mean) / deviation)[-finest:]  # the last statistics
    excess = float(np.sqrt(np.square(z.clip(min=0)).mean()))
    if excess <= _MOST:
        return None
    return (
        f"this image is unlike the training data of {model.identity['id']}: it varies more, by "
        f"{excess:.1f} standard deviations; if it has noise, dots or stripes, denoise or blur it "
        "slightly first"
    )
