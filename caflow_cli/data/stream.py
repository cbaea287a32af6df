"""The pictures of a set one at a time, for sets of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .files import Split, choose, has_split, open_files
from .sets import read_example, square

__all__ = ["Reader", "open_split"]


@dataclass(frozen=True, eq=False)
class Reader:
    """The examples of one split, in order of name.

    Attributes:
        split: Which it is; "all" for everything.
        names: Name of each within the split.
        read: The pictures of a row, uint8 (H, W, 3): the one, or condition and target of a pair.
            `DamagedError` for a file that cannot be decoded.
    """

    split: str
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
) -> Iterator[Reader]:
    """The examples of a split, as `load_split` and `load_pairs` have them.

    Args:
        path: A folder or a .zip.
        split: None: `test/` where there is one, else every picture there is.
        size: Side of the pictures in pixels; None leaves them as they are.
        paired: Conditions in `A/`, targets in `B/`.

    Raises:
        CaflowError: As `load_split`, on entering or from `Reader.read`.
    """
    with open_files(Path(path)) as files:
        part = split or ("test" if has_split(files, "test") else "all")
        examples = choose(files, part, seed, paired=paired)

        def read(row: int) -> list[npt.NDArray[np.uint8]]:
            pictures = read_example(files, examples[row])
            if size is None:
                return pictures
            named = zip(pictures, examples[row].members, strict=True)
            return [square(picture, size, 3, member) for picture, member in named]

        yield Reader(part, [example.name for example in examples], read)
