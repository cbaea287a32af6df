"""Things that a visitor gives: a picture, a painted hole, a drawn map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import CaflowError
from ..images import Decoded, decode, stored_size
from ..tasks import Picture
from .limits import Limits

__all__ = ["Painting", "blank", "drawn_map", "painted_hole", "read_picture", "sheet"]

_SIDE = 512  # pixels of the longer side of what is painted on, at least
_MOST = 1024  # and at most


@dataclass(frozen=True, eq=False)
class Painting:
    """Everything painted in the editor, apart from the sheet, of whose size it is."""

    layers: Sequence[Picture] = field(default_factory=tuple)  # uint8 (h, w, 4), each

    @property
    def is_empty(self) -> bool:
        """Whether nothing was painted."""
        return not any(layer[..., 3].any() for layer in self.layers)


def read_picture(path: Path, limits: Limits, factor: int = 1) -> Decoded:
    """Read a picture as the commands do, after its size is checked.

    Args:
        path: The file that was given.
        limits: Of the page.
        factor: How many times larger the result is.

    Raises:
        CaflowError: It is too large, or no picture.
    """
    name = path.name
    limits.check_bytes(path.stat().st_size, name)
    height, width = stored_size(path.read_bytes(), name)
    limits.check_pixels((height, width), (factor * height, factor * width), name)
    return decode(path, name)


def sheet(image: Picture) -> Picture:
    """The picture that is painted on, at a size that fits a screen."""
    height, width = image.shape[:2]
    longest = max(height, width)
    scale = min(max(longest, _SIDE), _MOST) / longest
    size = max(1, round(width * scale)), max(1, round(height * scale))
    kernel = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    return np.array(Image.fromarray(image).resize(size, kernel))


def blank(side: int) -> Picture:
    """A white picture, to draw a map on: uint8 (side, side, 3)."""
    return np.full((side, side, 3), 255, np.uint8)


def painted_hole(painting: Painting, height: int, width: int) -> Picture:
    """The mask of what was painted: uint8 (height, width), 255 where at least half is covered.

    Raises:
        CaflowError: Nothing was painted.
    """
    covered = np.zeros((height, width), bool)
    for layer in painting.layers:
        alpha = Image.fromarray(np.ascontiguousarray(layer[..., 3]))
        covered |= np.array(alpha.resize((width, height), Image.Resampling.BOX)) >= 128
    if not covered.any():
        raise CaflowError("there is no hole to fill", "paint over what is to be filled")
    return covered.astype(np.uint8) * 255


def drawn_map(painting: Painting, below: Picture) -> Decoded:
    """Lay all that was painted, resized, on a picture, whose other pixels stay as they are.

    Args:
        painting: Of any size.
        below: The picture that the sheet shows, at its own size: uint8 (H, W, 3).
    """
    flat = Image.fromarray(below).convert("RGBA")
    for layer in painting.layers:
        drawn = Image.fromarray(layer).resize(flat.size, Image.Resampling.BOX)
        flat = Image.alpha_composite(flat, drawn)
    return Decoded(np.array(flat.convert("RGB")), None, "PNG")
