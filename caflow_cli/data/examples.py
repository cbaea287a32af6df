"""The examples of a split: images, or pairs, decoded at each visit or kept in memory."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ..errors import CaflowError
from ..images import Pixels, read_image
from ..paths import is_folder
from .folder import open_folder, open_zip
from .manifest import MANIFESTS, open_manifest
from .remote import is_remote, open_remote
from .split import Example, ImageFiles, Role, Split, check_there, choose, has_split

__all__ = [
    "DamagedError",
    "Examples",
    "check_damaged",
    "check_one_size",
    "condition_channels",
    "keep",
    "open_files",
    "open_split",
]

_MOST_DAMAGED = 0.01  # share of a set
_PEEK = 32  # pairs that are looked at to tell whether conditions are grey


class DamagedError(CaflowError):
    """A file of a set that cannot be decoded; the rest of the set may be fine."""


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples of one split, in order of name.

    Attributes:
        split: Name of the split; "all" for every image.
        seed: The seed that held out the examples of the split; None where the set states them.
        names: Name of each within the split.
        read: Reads row i: uint8 (H, W, C), one image, or condition and target of a pair. Raises
            `DamagedError` for a file that cannot be decoded.
        total: Number of examples in all splits.
        skipped: Names of damaged examples that `keep` has left out.
        in_memory: Whether `keep` has decoded them.
    """

    split: str
    seed: int | None
    names: list[str]
    read: Callable[[int], list[Pixels]]
    total: int = 0
    skipped: list[str] = field(default_factory=list)
    in_memory: bool = False

    def __len__(self) -> int:
        return len(self.names)


@contextmanager
def open_files(data: str | Path, role: Role = "images") -> Iterator[ImageFiles]:
    """Open a set of images of any kind: a folder, a zip, a manifest, or what `datasets` reads.

    Args:
        data: What `--data` names.
        role: What is taken from a set with columns. Folders and zips are taken as they are.

    Raises:
        CaflowError: (exit 2) there is nothing, or nothing that can be read.
    """
    check_there(data)
    path = Path(data)
    if is_folder(path) and (files := open_folder(path)).members:
        yield files
    elif is_remote(str(data)):
        yield open_remote(str(data), role)
    elif is_folder(path):
        yield files
    elif path.suffix.lower() in MANIFESTS:
        yield open_manifest(path, role)
    else:
        with open_zip(path) as files:
            yield files


@contextmanager
def open_split(
    data: str | Path,
    split: Split | None = None,
    size: int | None = None,
    *,
    role: Role = "images",
    seed: int = 0,
    channels: Sequence[int] = (3, 3),
    least: int = 0,
) -> Iterator[Examples]:
    """Open a split of a set. Its examples are decoded as they are read.

    Folders `train/`, `val/` and `test/` are used as they are. If `val/` or `test/` is missing, 2 %
    of `train/` (at least one example) is held out for it; with none of the three, 2 % of all
    examples for each. Only the names and `seed` decide which examples are held out.

    Args:
        data: A set of images, as `open_files` opens it.
        split: None: `test/` if there is one, else every image.
        size: Side of the images in pixels: an image of another shape is cropped to its largest
            central square and resized (Pillow LANCZOS). None leaves them as they are.
        role: What is read; pairs have conditions in `A/` and targets in `B/`.
        seed: Chooses what is held out.
        channels: Of each image of an example, 3 (RGB) or 1 (grey), if they are resized.
        least: Smallest side that an image may have; the images of a pair must then have one size.

    Raises:
        CaflowError: On entering or from `Examples.read`: there are no images, too few to divide, or
            an image is smaller than `size` or `least`, or lacks its partner.
    """
    paired = role == "pairs"
    with open_files(data, role) as files:
        part: Split | Literal["all"] = split or ("test" if has_split(files, "test") else "all")
        examples = choose(files, part, seed, paired=paired)

        def read(row: int) -> list[Pixels]:
            example = examples[row]
            images = _decode(files, example)
            if size is not None:
                named = zip(images, channels, example.members, strict=False)
                return [_square(image, size, count, member) for image, count, member in named]
            if least:
                for image, member in zip(images, example.members, strict=True):
                    _check_side(image, least, member)
                hint = "give both images of a pair the same size, or --crop whole"
                check_one_size([image.shape[:2] for image in images], example.name, hint)
            return images

        # Whether the seed decides which examples are in the split.
        stated: tuple[Split, ...] = ("val", "test")
        if part != "train":
            stated = () if part == "all" else (part,)
        held_out = not all(has_split(files, one) for one in stated)
        names = [example.name for example in examples]
        total = len(files.members) // (2 if paired else 1)
        yield Examples(part, seed if held_out else None, names, read, total)


def keep(examples: Examples, most: float, data: str) -> Examples:
    """Decode all examples and keep them in memory, if they take at most `most` bytes.

    Of a larger set every example is decoded at each visit; in the place of a damaged one the next
    is read.

    Raises:
        CaflowError: More than 1 % of all data is damaged.
    """
    kept: list[list[Pixels]] = []
    names: list[str] = []
    skipped: list[str] = []

    def load(row: int) -> list[Pixels] | None:
        try:
            return examples.read(row)
        except DamagedError:
            return None

    taken, threads = 0, min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        # Few at a time: photographs of a camera take 36 MB each.
        for first in range(0, len(examples), 4 * threads):
            rows = range(first, min(first + 4 * threads, len(examples)))
            for row, images in zip(rows, pool.map(load, rows), strict=True):
                if images is None:
                    skipped.append(examples.names[row])
                    continue
                kept.append(images)
                names.append(examples.names[row])
                taken += sum(image.nbytes for image in images)
            if taken > most:
                return replace(examples, read=_patient(examples, load, data))
    check_damaged(skipped, examples, data)
    return replace(examples, names=names, read=kept.__getitem__, skipped=skipped, in_memory=True)


def check_damaged(skipped: list[str], examples: Examples, data: str) -> None:
    """CaflowError if every example of a split is damaged, or more than 1 % of all data."""
    if len(skipped) > _MOST_DAMAGED * examples.total or len(skipped) == len(examples):
        raise CaflowError(
            f"{len(skipped)} of {len(examples)} images in {data!r} are damaged, "
            f"first {skipped[0]!r}",
            "repair or remove them; up to 1 % is skipped",
        )


def _patient(
    examples: Examples, load: Callable[[int], list[Pixels] | None], data: str
) -> Callable[[int], list[Pixels]]:
    """Read the first example from row i on that is not damaged."""

    def read(row: int) -> list[Pixels]:
        for other in range(row, row + 10):
            if (images := load(other % len(examples))) is not None:
                return images
        raise CaflowError(
            f"ten images in a row are damaged in {data!r}, first {examples.names[row]!r}",
            "repair or remove them",
        )

    return read


def condition_channels(data: str | Path) -> int:
    """The number of channels for a paired set's conditions: 1 if the ones looked at are grey.

    They are spread evenly over the training pairs.
    """
    with open_split(data, "train", role="pairs") as pairs:
        count = min(_PEEK, len(pairs))
        for i in range(count):
            try:
                condition = pairs.read(i * len(pairs) // count)[0]
            except DamagedError:
                continue  # `keep` names it
            if (condition != condition[..., :1]).any():
                return 3
    return 1


def check_one_size(
    sizes: Sequence[tuple[int, ...]],
    name: str,
    hint: str = "give both images of a pair the same size",
) -> None:
    """Refuse a pair whose images' heights and widths differ: CaflowError that names it."""
    if len(set(sizes)) > 1:
        found = " and ".join(f"{width}x{height}" for height, width in sizes)
        raise CaflowError(f"the images of the pair {name!r} are {found}", hint)


def _decode(files: ImageFiles, example: Example) -> list[Pixels]:
    """Decode the images of an example: uint8 (H, W, 3)."""
    images = []
    for member in example.members:
        try:
            images.append(read_image(io.BytesIO(files.read(member)), name=member))
        except CaflowError as error:
            raise DamagedError(error.message, error.hint) from error
    (height, width), *others = [image.shape[:2] for image in images]
    for h, w in others:
        # More than a pixel apart: a crop would shift one of them.
        if abs(h * width - w * height) > max(h, w, height, width):
            raise CaflowError(
                f"{example.members[0]!r} is {width}x{height}, {example.members[1]!r} {w}x{h}",
                "give both images of a pair the same aspect ratio",
            )
    return images


def _check_side(image: Pixels, size: int, name: str) -> None:
    height, width = image.shape[:2]
    if min(height, width) < size:
        raise CaflowError(
            f"{name!r} is {width}x{height}, smaller than {size}x{size}",
            f"remove it, or train at a size of at most {min(height, width)}: --set task.size=N",
        )


def _square(pixels: Pixels, size: int, channels: int, name: str) -> Pixels:
    """Crop to the central square and resize: (H, W, 3) to (size, size, channels)."""
    _check_side(pixels, size, name)
    height, width = pixels.shape[:2]
    if channels == 3 and height == width == size:
        return pixels
    image = Image.fromarray(pixels)
    if channels == 1:
        image = image.convert("L")
    if (width, height) != (size, size):
        side = min(height, width)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(image).reshape(size, size, channels)
