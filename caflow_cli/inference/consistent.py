"""Back-projection: changing a picture until it shrinks to the one it was made from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..tasks import Picture, SuperRes

__all__ = ["back_project", "consistency"]

_ITERATIONS = 100  # draws of 100 faces take 5 to 11 on average and 63 at most, by temperature
_WITHIN = 1  # levels: what 8 bits a picture can promise


def back_project(image: Picture, picture: Picture, task: SuperRes) -> Picture:
    """Find a picture near `picture` whose reduction is within one level of `image` everywhere.

        x <- clip(x + up(image - down(round(x))), 0, 255)

    `up` and `down` are Pillow BICUBIC. For some pictures there is no such neighbour, because values
    beyond 0 or 255 are clipped. Then the best of 100 iterations is returned.

    Args:
        image: uint8 (h, w, 3).
        picture: uint8 (factor h, factor w, 3).
        task: Defines `down`.
    """
    x = picture.astype(np.float32)
    best, least = picture, 256
    for _ in range(_ITERATIONS):
        rounded = np.rint(x).astype(np.uint8)
        residual = image.astype(np.float32) - task.degrade(rounded)
        worst = int(np.abs(residual).max())
        if worst < least:
            best, least = rounded, worst
        if worst <= _WITHIN:
            break
        x = (x + _enlarge(residual, x.shape[1], x.shape[0])).clip(0, 255)
    return best


def consistency(image: Picture, picture: Picture, task: SuperRes) -> int:
    """The largest difference, in levels, between `image` and the reduced picture."""
    return int(np.abs(task.degrade(picture).astype(int) - image).max())


def _enlarge(residual: npt.NDArray[np.float32], width: int, height: int) -> npt.NDArray[np.float32]:
    channels = (Image.fromarray(channel) for channel in np.moveaxis(residual, -1, 0).copy())
    size = (width, height)
    return np.stack([np.asarray(c.resize(size, Image.Resampling.BICUBIC)) for c in channels], -1)
