"""Sets of pictures of any size, decoded and kept whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from ..errors import CaflowError
from ..images import stored_size
from .files import Example, PictureFiles, Split, choose
from .opening import open_files
from .sets import (
    DamagedError,
    check_one_size,
    check_side,
    check_skipped,
    decode_examples,
    fingerprint,
)
from .store import Store

__all__ = ["Photographs", "centres", "load_photograph_pairs", "load_photographs"]

_PLACE = 24  # bytes: where a picture begins, its height and its width, int64 each


class _Pictures(Protocol):
    def __getitem__(self, index: int, /) -> torch.Tensor: ...


@dataclass(frozen=True, eq=False)
class Photographs:
    """The pictures of one split, each of its own size, one behind the other.

    Attributes:
        pixels: uint8, flat: (h, w, 3) of each picture.
        places: int64 (N, 3): for each picture where it begins, its height and its width.
        names: Path of each within the split, with forward slashes.
        skipped: Names of files that could not be decoded.
    """

    pixels: torch.Tensor
    places: torch.Tensor
    names: list[str]
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> torch.Tensor:
        """Picture `index`, uint8 (3, H, W), whose memory is (H, W, 3)."""
        start, height, width = self.places[index].tolist()
        whole = self.pixels[start : start + 3 * height * width]
        return whole.view(height, width, 3).permute(2, 0, 1)

    def centres(self, indices: torch.Tensor, size: int) -> torch.Tensor:
        """The central `size` x `size` pixels of these pictures: uint8 (n, 3, size, size)."""
        return centres(self, indices, size)


def centres(pictures: _Pictures, indices: torch.Tensor, size: int) -> torch.Tensor:
    """The central `size` x `size` pixels of some of the pictures: uint8 (n, 3, size, size)."""
    rows = []
    for index in indices.tolist():
        picture = pictures[index]
        top, left = ((side - size) // 2 for side in picture.shape[1:])
        rows.append(picture[:, top : top + size, left : left + size])
    return torch.stack(rows)


def load_photographs(
    path: str | Path,
    split: Split,
    size: int,
    *,
    seed: int = 0,
    limit: int | None = None,
    store: Store | None = None,
) -> Photographs:
    """Load the pictures of a split as they are, in order of name.

    The splits are those of `load_split`. Headers say how much room a set needs before anything is
    decoded.

    Args:
        path: A set of pictures, as `open_files` opens it.
        size: The least side that a picture may have.
        limit: Decode at most this many pictures, evenly spaced.
        store: Keeps large sets; by default every set is kept in memory.

    Raises:
        CaflowError: As for `load_split`.
    """
    [pictures] = _load(path, split, size, False, seed, limit, store)
    return pictures


def load_photograph_pairs(
    path: str | Path,
    split: Split,
    size: int,
    *,
    seed: int = 0,
    limit: int | None = None,
    store: Store | None = None,
) -> tuple[Photographs, Photographs]:
    """Load the pairs of a split as they are, in order of name: conditions and targets.

    The pairs are those of `load_pairs`; both pictures of a pair have one size. The arguments are
    those of `load_photographs`.

    Raises:
        CaflowError: As for `load_pairs`, or the sizes of a pair differ.
    """
    conditions, targets = _load(path, split, size, True, seed, limit, store)
    return conditions, targets


def _load(
    path: str | Path,
    split: Split,
    size: int,
    paired: bool,
    seed: int,
    limit: int | None,
    store: Store | None,
) -> list[Photographs]:
    """Load the pictures of a split, or the conditions and the targets of its pairs."""
    with open_files(path, "pairs" if paired else "pictures", split, limit) as files:
        examples = choose(files, split, seed, paired=paired)
        if limit is not None and len(examples) > limit:
            examples = [examples[i * len(examples) // limit] for i in range(limit)]
        areas = [_area(files, example, size) for example in examples]
        starts = [0, *np.cumsum([3 * area for area in areas], dtype=np.int64).tolist()]
        one: list[tuple[int, ...]] = [(starts[-1],)]
        shapes = [(len(examples), _PLACE), *one, *(one if paired else [])]

        def fill(tensors: list[torch.Tensor]) -> tuple[list[str], list[str]]:
            places, pixels = tensors[0].numpy().view(np.int64), [t.numpy() for t in tensors[1:]]

            def put(row: int, pictures: list[npt.NDArray[np.uint8]]) -> None:
                for values, picture in zip(pixels, pictures, strict=True):
                    height, width = picture.shape[:2]
                    if height * width != areas[row]:  # no room was kept for what the header hid
                        raise DamagedError(f"{examples[row].name!r} contradicts its header", "")
                    values[starts[row] : starts[row + 1]] = picture.reshape(-1)
                    places[row] = starts[row], height, width

            loaded = decode_examples(files, examples, put)
            skipped = [e.name for e, ok in zip(examples, loaded, strict=True) if not ok]
            check_skipped(skipped, len(examples), len(files.members) // len(pixels), path)
            kept = [row for row, ok in enumerate(loaded) if ok]
            places[: len(kept)] = places[kept]
            return [examples[row].name for row in kept], skipped

        store = store or Store()
        (places, *pixels), (names, skipped) = store.build(
            split, shapes, lambda: fingerprint(files, examples, shapes), fill
        )
        places = places.view(torch.int64)[: len(names)]
        return [Photographs(values, places, names, skipped) for values in pixels]


def _area(files: PictureFiles, example: Example, size: int) -> int:
    """The number of pixels of each picture that headers state; 0 where one cannot be read."""
    sizes = []
    for member in example.members:
        try:
            height, width = stored_size(files.read(member), member)
        except CaflowError:
            return 0  # damaged: decoding says so
        check_side(height, width, size, member)
        sizes.append((height, width))
    hint = "give both pictures of a pair the same size, or --crop whole"
    if len({tuple(sorted(sides)) for sides in sizes}) > 1:  # EXIF may turn one of them
        check_one_size(sizes, example.name, hint)
    return height * width
