"""Sets of masks, as bits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import CaflowError
from .files import Split, choose
from .missing import of_masks
from .opening import open_files
from .sets import check_skipped, decode_examples

__all__ = ["Masks", "load_masks"]

_WHITE = 128  # a mask's values from here up are the hole
_Bits: TypeAlias = npt.NDArray[np.uint8]  # eight pixels each


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of one split, each of its own size, with at least one white pixel.

    Attributes:
        rows: The bits of each mask, and its height and width.
        skipped: Names of files that could not be decoded.
    """

    rows: list[tuple[_Bits, int, int]]
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> npt.NDArray[np.bool_]:
        """Mask `index`: (H, W), true = white."""
        bits, height, width = self.rows[index]
        return np.unpackbits(bits, count=height * width).view(np.bool_).reshape(height, width)


def load_masks(path: str | Path, split: Split, *, seed: int = 0) -> Masks:
    """Load the masks of a split, in order of name. Black ones are left out.

    The splits are those of `load_split`. A mask is white (128 and up) where a hole is.

    Args:
        path: A set of masks of any size; of a set with columns, the column `mask`.

    Raises:
        CaflowError: As for `load_split`, but that masks may be of any size; or all are black.
    """
    found: dict[int, tuple[_Bits, int, int]] = {}

    def put(row: int, pictures: list[npt.NDArray[np.uint8]]) -> None:
        white = pictures[0][..., 0] >= _WHITE
        if white.any():
            found[row] = (np.packbits(white), *white.shape)

    with of_masks(), open_files(path, "masks", split) as files:
        examples = choose(files, split, seed)
        loaded = decode_examples(files, examples, put)
        skipped = [e.name for e, ok in zip(examples, loaded, strict=True) if not ok]
        check_skipped(skipped, len(examples), len(files.members), path)
    if not found:
        raise CaflowError(
            f"masks: nothing is white in {str(path)!r}",
            "paint white where a hole is, all else black",
        )
    return Masks([found[row] for row in sorted(found)], skipped)
