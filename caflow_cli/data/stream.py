"""Reading of a set one picture at a time, for sets of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from .files import PictureFiles, Role, Split, choose, has_split
from .opening import open_files
from .sets import read_example, square

__all__ = ["Reader", "open_split"]


@dataclass(frozen=True, eq=False)
class Reader:
    """The examples of one split, in order of name.

    Attributes:
        split: Name of the split; "all" for every picture.
        seed: The seed that chose the pictures of the split; None where the set itself says them.
        names: Name of each within the split.
        read: Reads row i, uint8 (H, W, 3): one picture, or condition and target of a pair. Raises
            `DamagedError` for a file that cannot be decoded.
    """

    split: str
    seed: int | None
    names: list[str]
    read: Callable[[int], list[npt.NDArray[np.uint8]]]


@contextmanager
def open_split(
    path: str | Path,
    split: Split | None = None,
    size: int | None = None,
    *,
    paired: bool = False,
    seed: int = 0,
    limit: int | None = None,
    role: Role | None = None,
) -> Iterator[Reader]:
    """Open a split, with the same examples as `load_split` and `load_pairs`.

    Args:
        path: A set of pictures, as `open_files` opens it.
        split: None: `test/` if there is one, else every picture.
        size: Side of the pictures in pixels; None leaves them as they are.
        paired: Whether the set has conditions in `A/` and targets in `B/`.
        seed: Chooses what is held out where the set does not say a split.
        limit: Of a stream alone: how many examples are read.
        role: What is taken from a set with columns. Default: pairs or pictures.

    Raises:
        CaflowError: As for `load_split`, on entering or from `Reader.read`.
    """
    with open_files(path, role or ("pairs" if paired else "pictures"), split, limit) as files:
        part: Split | Literal["all"] = split or ("test" if has_split(files, "test") else "all")
        examples = choose(files, part, seed, paired=paired)

        def read(row: int) -> list[npt.NDArray[np.uint8]]:
            pictures = read_example(files, examples[row])
            if size is None:
                return pictures
            named = zip(pictures, examples[row].members, strict=True)
            return [square(picture, size, 3, member) for picture, member in named]

        names = [example.name for example in examples]
        yield Reader(part, seed if _is_held_out(files, part) else None, names, read)


def _is_held_out(files: PictureFiles, part: Split | Literal["all"]) -> bool:
    """Whether the seed says which pictures are in a split."""
    if part == "all":
        return False
    said: tuple[Split, ...] = ("val", "test") if part == "train" else (part,)
    return not all(has_split(files, split) for split in said)
