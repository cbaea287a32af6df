"""Zoom: parts of pictures as training pictures, which augments a small set."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["Zoom"]


class Zoom:
    """Cuts out a rectangle of the picture's form and enlarges it to the full size.

    Its sides are those of the picture times `1 - zoom · share`, and the other two shares give its
    place. It is resized by Pillow BICUBIC.

    Args:
        zoom: The largest share that is cut off a side, in [0, 1).
        shares: Shares of `zoom`, of the room to the left, and of the room above; each in [0, 1].

    Shapes: uint8 (C, H, W) -> the same, C = 1 or 3.
    """

    def __init__(self, zoom: float, shares: tuple[float, float, float]) -> None:
        size, self.left, self.top = shares
        self.side = 1 - zoom * size

    def __call__(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        channels, height, width = image.shape
        h, w = self.side * height, self.side * width
        x, y = self.left * (width - w), self.top * (height - h)
        whole = Image.fromarray(image[0] if channels == 1 else image.transpose(1, 2, 0))
        part = whole.resize((width, height), Image.Resampling.BICUBIC, (x, y, x + w, y + h))
        result = np.asarray(part)
        return result[None] if channels == 1 else result.transpose(2, 0, 1)
