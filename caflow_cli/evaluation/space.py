"""The measures of NTIRE 2021, "Learning the Super-Resolution Space", as its `measure.py` has them.

For the samples x_k of an image with truth w, where d(x, w) is LPIPS's map over pixels:

    g = min_k mean d(x_k, w)
    l = mean min_k d(x_k, w), the minimum at each pixel
    diversity score = 100 (g - l) / g

LR-PSNR compares the shrunk sample with the shrunk truth. Images are cropped to multiples of 8.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..images import Pixels
from ..restoration import to_batch
from ..tasks import Task
from .metrics.pairs import LpipsDistance, psnr
from .rows import Values

_MULTIPLE = 8


def space_metrics(
    task: Task,
    truth: Pixels,
    samples: Sequence[Pixels],
    lpips: LpipsDistance | None,
) -> Values:
    """The measures of an image, by name; None stands for infinity.

    Args:
        task: Shrinks images; a `SuperRes`.
        truth: uint8 (H, W, 3).
        samples: Of the same size, at least one.
        lpips: Makes the maps; without it, only LR-PSNR is measured.
    """
    target = _cropped(truth)
    images = [_cropped(sample) for sample in samples]
    values: Values = {}
    if lpips is not None:
        reference = to_batch([target])
        of_samples = [lpips.maps(to_batch([image]), reference) for image in images]
        maps = torch.cat(of_samples)
        means = maps.mean((1, 2))
        least = float(means.min())
        local = float(maps.min(0).values.mean())
        values["diversity_score"] = 0.0
        if least > 0:
            values["diversity_score"] = 100 * (least - local) / least
        values["lpips_map"] = float(means.mean())
    small = _shrunk(task, target)
    decibels = torch.cat([psnr(_shrunk(task, image), small) for image in images])
    figures = {"lr_psnr": decibels.mean(), "lr_psnr_worst": decibels.min()}
    for name, value in figures.items():
        values[name] = float(value) if value.isfinite() else None
    return values


def _cropped(image: Pixels) -> Pixels:
    height = image.shape[0] // _MULTIPLE * _MULTIPLE
    width = image.shape[1] // _MULTIPLE * _MULTIPLE
    return image[:height, :width]


def _shrunk(task: Task, image: Pixels) -> Tensor:
    pair = task.recomputed(image, image, None)
    assert pair is not None, "only inputs of enlargements are recomputed from images alone"
    return to_batch([pair[0]])
