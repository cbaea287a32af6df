"""Decoding: the pictures of a split as uint8 tensors, in memory or mapped from a file."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from ..errors import EXIT_USAGE, CaflowError
from ..images import read_image
from .files import Example, PictureFiles, Split, choose
from .opening import open_files
from .store import Store

__all__ = [
    "DamagedError",
    "ImageSet",
    "PairSet",
    "check_side",
    "check_skipped",
    "decode_examples",
    "fingerprint",
    "load_pairs",
    "load_split",
    "read_example",
    "square",
]

_MAX_SKIPPED = 0.01
_LARGE = 1 << 26  # bytes of an example's files, beyond which they are read one at a time


class DamagedError(CaflowError):
    """A file of a set that cannot be decoded; the rest of the set may be fine."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """The pictures of one split.

    Attributes:
        images: uint8 (N, C, H, W), 0-255.
        names: Path of each within the split, with forward slashes.
        skipped: Names of files that could not be decoded; not in `images`.
    """

    images: torch.Tensor
    names: list[str]
    skipped: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class PairSet:
    """The pairs of one split.

    Attributes:
        conditions: uint8 (N, cond_channels, H, W): those of `A/`.
        targets: uint8 (N, 3, H, W): those of `B/`.
        names: Name of each pair, without suffix.
        skipped: Names of pairs with a picture that could not be decoded.
    """

    conditions: torch.Tensor
    targets: torch.Tensor
    names: list[str]
    skipped: list[str] = field(default_factory=list)


def load_split(
    path: str | Path,
    split: Split,
    size: int,
    *,
    channels: int = 3,
    seed: int = 0,
    limit: int | None = None,
    store: Store | None = None,
) -> ImageSet:
    """Load the pictures of a split at `size` x `size`, in order of name.

    Folders `train/`, `val/`, `test/` are used as they are. If `val/` or `test/` is missing, 2 % of
    `train/` (at least one picture) is held out for it; with none of the three, 2 % of all pictures
    for each. Only the names and `seed` decide which pictures are held out. A picture of another
    shape is cropped to its largest central square and resized (Pillow LANCZOS).

    Args:
        path: A set of pictures, as `open_files` opens it: a folder (searched through, hidden files
            left out), a .zip, or another kind.
        size: Side of the pictures in pixels.
        channels: 3 for RGB, 1 for grey (Pillow `L`).
        limit: Decode at most this many pictures, evenly spaced.
        store: Keeps large sets; by default every set is kept in memory.

    Raises:
        CaflowError: The path does not exist or is neither a folder nor a zip (exit 2), the split is
            empty, a picture is smaller than `size`, or more than 1 % of the files are damaged.
    """
    (images,), names, skipped = _load(path, split, size, (channels,), seed, limit, store)
    return ImageSet(images, names, skipped)


def load_pairs(
    path: str | Path,
    split: Split,
    size: int,
    *,
    cond_channels: int = 3,
    seed: int = 0,
    limit: int | None = None,
    store: Store | None = None,
) -> PairSet:
    """Load the pairs of a split.

    `A/` holds conditions and `B/` targets, matched by path without suffix. Both folders lie in
    `train/`, `val/` and `test/`, or at the top. Missing splits are held out as by `load_split`.
    Both pictures of a pair are cropped and resized in the same way.

    Args:
        cond_channels: 3 for RGB, 1 for grey.

    Raises:
        CaflowError: As for `load_split`; or a picture lacks its pair, or the pictures of a pair
            differ in aspect ratio.
    """
    channels = (cond_channels, 3)
    (conditions, targets), names, skipped = _load(path, split, size, channels, seed, limit, store)
    return PairSet(conditions, targets, names, skipped)


def _load(
    path: str | Path,
    split: Split,
    size: int,
    channels: tuple[int, ...],
    seed: int,
    limit: int | None,
    store: Store | None,
) -> tuple[list[torch.Tensor], list[str], list[str]]:
    """Load tensors (one for each member of an example), names, and names of skipped examples."""
    if not set(channels) <= {1, 3}:
        raise CaflowError(f"channels is {channels[0]}", "use 3 (RGB) or 1 (grey)", EXIT_USAGE)
    paired = len(channels) == 2
    with open_files(path, "pairs" if paired else "pictures", split, limit) as files:
        examples = choose(files, split, seed, paired=paired)
        if limit is not None and len(examples) > limit:
            examples = [examples[i * len(examples) // limit] for i in range(limit)]
        shapes: list[tuple[int, ...]] = [(len(examples), c, size, size) for c in channels]

        def fill(tensors: list[torch.Tensor]) -> tuple[list[str], list[str]]:
            rows = [tensor.numpy() for tensor in tensors]

            def put(row: int, pictures: list[npt.NDArray[np.uint8]]) -> None:
                for target, picture, member in zip(
                    rows, pictures, examples[row].members, strict=True
                ):
                    part = square(picture, size, target.shape[1], member)
                    target[row] = part.transpose(2, 0, 1)

            loaded = decode_examples(files, examples, put)
            skipped = [e.name for e, ok in zip(examples, loaded, strict=True) if not ok]
            everything = len(files.members) // len(channels)
            check_skipped(skipped, len(examples), everything, path)
            kept = [k for k, ok in enumerate(loaded) if ok]
            if skipped:
                for tensor in tensors:
                    for row, k in enumerate(kept):  # in place: the set may not fit in memory
                        tensor[row] = tensor[k]
            return [examples[k].name for k in kept], skipped

        store = store or Store()
        tensors, (names, skipped) = store.build(
            split, shapes, lambda: fingerprint(files, examples, shapes), fill
        )
        return [tensor[: len(names)] for tensor in tensors], names, skipped


def decode_examples(
    files: PictureFiles,
    examples: list[Example],
    put: Callable[[int, list[npt.NDArray[np.uint8]]], None],
) -> list[bool]:
    """Decode every example, and `put` its row and pictures; False for a damaged one."""
    turn = Lock()  # of those whose files would fill the memory together

    def load(row: int) -> bool:
        example = examples[row]
        large = sum(map(files.size, example.members)) > _LARGE
        try:
            with turn if large else nullcontext():
                pictures = read_example(files, example)
            put(row, pictures)
        except DamagedError:
            return False
        return True

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(load, range(len(examples))))


def read_example(files: PictureFiles, example: Example) -> list[npt.NDArray[np.uint8]]:
    """Yield the pictures of an example, not resized, uint8 (H, W, 3).

    Raises:
        DamagedError: One cannot be decoded.
        CaflowError: A pair's pictures have different shapes.
    """
    pictures = []
    for member in example.members:
        try:
            pictures.append(read_image(io.BytesIO(files.read(member)), name=member))
        except CaflowError as error:
            raise DamagedError(error.message, error.hint) from error
    _check_aspect(pictures, example)
    return pictures


def check_skipped(skipped: list[str], total: int, everything: int, path: str | Path) -> None:
    """CaflowError if nothing is left, or if more than 1 % of all data is damaged."""
    if len(skipped) > _MAX_SKIPPED * everything or len(skipped) == total:
        raise CaflowError(
            f"{len(skipped)} of {total} pictures in {str(path)!r} are damaged, "
            f"first {skipped[0]!r}",
            "repair or remove them; up to 1 % is skipped",
        )


def _check_aspect(pictures: list[npt.NDArray[np.uint8]], example: Example) -> None:
    """CaflowError if a pair's aspect ratios differ, because a crop would then shift one picture."""
    (height, width), *others = [picture.shape[:2] for picture in pictures]
    for h, w in others:
        if abs(h * width - w * height) > max(h, w, height, width):  # more than a pixel apart
            raise CaflowError(
                f"{example.members[0]!r} is {width}x{height}, {example.members[1]!r} {w}x{h}",
                "give both pictures of a pair the same aspect ratio",
            )


def fingerprint(files: PictureFiles, examples: list[Example], shapes: list[tuple[int, ...]]) -> str:
    """Make a text that changes whenever anything that a decoded set is made from changes."""
    members = [f"{m} {files.stamp(m)}" for example in examples for m in example.members]
    return "\n".join([str(shapes), *members])


def check_side(height: int, width: int, size: int, name: str) -> None:
    """Refuse a picture that is smaller than `size`: CaflowError that names it."""
    if min(height, width) < size:
        raise CaflowError(
            f"{name!r} is {width}x{height}, smaller than {size}x{size}",
            f"remove it, or train at a size of at most {min(height, width)}: --set task.size=N",
        )


def check_one_size(
    sizes: Sequence[tuple[int, int]],
    name: str,
    hint: str = "give both pictures of a pair the same size",
) -> None:
    """Refuse a pair whose pictures' heights and widths differ: CaflowError that names it."""
    if len(set(sizes)) > 1:
        said = " and ".join(f"{width}x{height}" for height, width in sizes)
        raise CaflowError(f"the pictures of the pair {name!r} are {said}", hint)


def square(
    picture: npt.NDArray[np.uint8], size: int, channels: int, name: str
) -> npt.NDArray[np.uint8]:
    """Crop to the central square and resize: (H, W, 3) to (size, size, channels)."""
    height, width = picture.shape[:2]
    check_side(height, width, size, name)
    if channels == 3 and height == width == size:
        return picture
    image = Image.fromarray(picture)
    if channels == 1:
        image = image.convert("L")
    if (width, height) != (size, size):
        side = min(height, width)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image).reshape(size, size, channels)
