"""The measures of NTIRE 2021, "Learning the Super-Resolution Space", as its `measure.py` has them.

For the samples x_k of an image with truth w, where d(x, w) is LPIPS's map over pixels:

    g = min_k mean d(x_k, w)
    l = mean min_k d(x_k, w), the minimum at each pixel
    diversity score = 100 (g - l) / g

LR-PSNR compares the shrunk sample with the shrunk truth. Images are cropped to multiples of 8.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..restoration import to_batch
from ..tasks import Pixels, Task
from .metrics.pairs import LpipsDistance, psnr
from .rows import Values

_MULTIPLE = 8


def space_metrics(
    task: Task,
    truth: Pixels,
    samples: Sequence[Pixels],
    lpips: LpipsDistance,
) -> Values:
    """The four measures of an image, by name; None stands for infinity.

    Args:
        task: Shrinks images; a `SuperRes`.
        truth: uint8 (H, W, 3).
        samples: Of the same size, at least one.
        lpips: Makes the maps.
    """
    target = _cropped(truth)
    reference = to_batch([target])
    small = _shrunk(task, target)
    maps = []
    decibels = []
    for sample in samples:
        image = _cropped(sample)
        maps.append(lpips.maps(to_batch([image]), reference))
        decibels.append(psnr(_shrunk(task, image), small))
    stacked = torch.cat(maps)
    means = stacked.mean((1, 2))
    least = float(means.min())
    local = float(stacked.min(0).values.mean())
    mean = float(torch.cat(decibels).mean())
    worst = float(torch.cat(decibels).min())
    return {
        "diversity_score": 100 * (least - local) / least if least > 0 else 0.0,
        "lpips_map": float(means.mean()),
        "lr_psnr": mean if math.isfinite(mean) else None,
        "lr_psnr_worst": worst if math.isfinite(worst) else None,
    }


def _cropped(image: Pixels) -> Pixels:
    height = image.shape[0] // _MULTIPLE * _MULTIPLE
    width = image.shape[1] // _MULTIPLE * _MULTIPLE
    return image[:height, :width]


def _shrunk(task: Task, image: Pixels) -> Tensor:
    pair = task.recomputed(image, image, None)
    assert pair is not None, "only inputs of enlargements are recomputed from images alone"
    return to_batch([pair[0]])
