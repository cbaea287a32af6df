"""Crops: random parts of photographs as training pictures, at native scale and shrunk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["Crop", "Crops"]

_REACH = 3  # of LANCZOS, in pixels of the result


@dataclass(frozen=True)
class Crops:
    """Says which crops a run learns from.

    A share `native` of them are pixels of the picture as they are, at any place of it, all equally
    likely. The others are `size` x `size` pixels of the picture shrunk s times, at any place, with
    `log s` uniform between 0 and `log min(shrink, shorter side / size)`.

    Args:
        size: Side of a crop.
        native: That share, in [0, 1].
        shrink: The largest s, from 1.
    """

    size: int
    native: float = 2 / 3
    shrink: float = 4.0

    def draw(self, bits: np.random.Philox) -> Crop:
        """Draw a crop: four words of the generator."""
        kind, scale, left, top = (int(word) / 2**64 for word in bits.random_raw(4))
        return Crop(self.size, self.shrink, 0.0 if kind < self.native else scale, left, top)


@dataclass(frozen=True)
class Crop:
    """Cuts `size` x `size` pixels out of a picture of any size, which may be shrunk first.

    Shrinking is Pillow LANCZOS. Only the part that the crop needs is shrunk: the result is that of
    shrinking the whole picture and cutting then, at places between its pixels too.

    Args:
        size: Side of the result.
        shrink: How many times a picture is shrunk at most; less where it is too small for that.
        share: How far, in [0, 1]: the picture is shrunk `most ** share` times.
        left, top: The crop's place, as shares of the room, in [0, 1).

    Shapes: uint8 (C, H, W), memory (H, W, C) -> (C, size, size), C = 3.
    """

    size: int
    shrink: float
    share: float
    left: float
    top: float

    def __call__(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        height, width = image.shape[1:]
        most = max(1.0, min(self.shrink, min(height, width) / self.size))
        shrink = most**self.share
        if shrink == 1:
            x, y = (
                int(place * (side - self.size + 1))
                for place, side in ((self.left, width), (self.top, height))
            )
            return image[:, y : y + self.size, x : x + self.size]
        span = self.size * shrink
        x, y = self.left * (width - span), self.top * (height - span)
        margin = int(_REACH * shrink) + 2
        first_x, first_y = max(0, int(x) - margin), max(0, int(y) - margin)
        last_x, last_y = (int(start + span) + margin for start in (x, y))
        part = image[:, first_y:last_y, first_x:last_x].transpose(1, 2, 0)
        x, y = x - first_x, y - first_y
        small = Image.fromarray(np.ascontiguousarray(part)).resize(
            (self.size, self.size), Image.Resampling.LANCZOS, (x, y, x + span, y + span)
        )
        return np.asarray(small).transpose(2, 0, 1)
