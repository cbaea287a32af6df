"""Masks of damage for pictures of any size, the same in every run."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from ..errors import CaflowError
from ..tasks import Picture

__all__ = ["damage", "mask_of"]

_WHITE = 128  # a mask's values from here up are the hole


def mask_of(picture: int, pictures: int, masks: int) -> int:
    """The place of a picture's mask, both in order of name.

    Masks are spread evenly over all pictures of the set, whatever part of it is measured. If there
    are fewer masks than pictures, they are used again.

    Examples:
        >>> from caflow_cli.evaluation.damage import mask_of
        >>> [mask_of(k, 4, 4) for k in range(4)], [mask_of(k, 4, 9) for k in range(4)]
        ([0, 1, 2, 3], [0, 2, 4, 6])
    """
    return picture * masks // pictures if masks > pictures else picture % masks


def damage(mask: Picture, height: int, width: int, seed: int, index: int) -> Picture:
    """Tile a mask and cut a part of it out: uint8 (height, width), 255 in the holes, else 0.

    The corner of the part follows from `seed` and `index` by SHA-256, so that no library's
    generator can change it. If nothing in the part is white, the mask's first white pixel is
    brought to its middle.

    Args:
        mask: uint8 (H, W) or (H, W, 3), 128 and up where a hole is.
        height, width: The picture's.
        seed: The evaluation's.
        index: The picture's place in the set.

    Raises:
        CaflowError: Nothing in the mask is white.
    """
    white = mask.reshape(*mask.shape[:2], -1)[..., 0] >= _WHITE
    if not white.any():
        raise CaflowError("a mask is empty: nothing in it is white", "remove it from --masks")
    digest = hashlib.sha256(f"{seed}:{index}".encode()).digest()
    top, left = (int.from_bytes(digest[i : i + 8], "big") for i in (0, 8))
    part = _cut(white, top, left, height, width)
    if not part.any():
        row, column = (int(line[0]) for line in np.nonzero(white))
        part = _cut(white, row - height // 2, column - width // 2, height, width)
    return np.where(part, np.uint8(255), np.uint8(0))


def _cut(
    white: npt.NDArray[np.bool_], top: int, left: int, height: int, width: int
) -> npt.NDArray[np.bool_]:
    rows = (top % white.shape[0] + np.arange(height)) % white.shape[0]
    columns = (left % white.shape[1] + np.arange(width)) % white.shape[1]
    return white[np.ix_(rows, columns)]
