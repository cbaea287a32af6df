"""Notes about a picture: what is dropped from it, and what will not come out well."""

from __future__ import annotations

import numpy as np

from ..config import TaskConfig
from .base import Picture
from .inpaint import Inpaint
from .windows import edge_of

__all__ = ["picture_note"]

_COLOUR = 24  # levels between the channels of a pixel, above which it is coloured, not toned
_COLOURED = 0.02  # this share of coloured pixels makes a coloured picture
_DEPTH = 16  # pixels: what lies deeper in a hole is a guess, as seen on pictures


def picture_note(task: TaskConfig, image: Picture, mask: Picture | None) -> str | None:
    """The note about one picture, for people; None: there is nothing to say.

    Args:
        task: The model's.
        image: uint8 (H, W, 3).
        mask: uint8 (H, W), for inpainting.
    """
    if task.name == "colorize":
        coloured = float((np.ptp(image, axis=-1) > _COLOUR).mean())
        return "its own colours are dropped, and others drawn" if coloured > _COLOURED else None
    if task.name == "inpaint" and task.rim and mask is not None:
        hole = Inpaint().hole(image, mask)
        if (hole & ~edge_of(hole, _DEPTH)).any():
            return (
                f"the hole is more than {2 * _DEPTH} pixels wide, so expect a blur: "
                "the model learned to fill scratches, dirt and small things"
            )
    return None
