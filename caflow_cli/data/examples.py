"""The examples of a split: images or pairs, decoded at each visit or kept in memory."""

import io
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import CaflowError, ensure
from ..fields import read_field, same_unit
from ..images import Pixels, decode as decode_image, gray, in_8_bits, is_gray, resize
from ..images.profile import Array
from ..images.values import unit_of
from ..paths import is_folder
from ..records import Table
from .files import is_field, is_image, open_folder, open_zip
from .split import HoldOut, ImageFiles, Role, check_there, choose
from .tables import MANIFESTS, is_remote, open_manifest, open_remote

_MOST_DAMAGED = 0.01  # largest share of damaged files in a set
_PEEK = 32  # pairs to look at to decide which of their images are gray


class DamagedError(CaflowError):
    """A file of a set that is damaged, or of a kind that is not read; the rest may be fine."""


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples of one split, ordered by name."""

    split: str  # name of the split; "all" for every image
    seed: int | None  # seed that determined the split; None if the set has this split itself
    names: list[str]  # within the split
    # Reads row i: one image, uint8 or uint16 (H, W, C), or condition and target of a pair, of one
    # type; or the values of a field, float32 (H, W), NaN where missing, and the steps of its data:
    # their width, and 1 if they are in dB, else 0. Raises `DamagedError` for a file that cannot be
    # decoded.
    read: Callable[[int], list[Pixels]]
    total: int = 0  # number of examples in all splits
    skipped: list[str] = field(default_factory=list)  # damaged examples that `keep` has omitted
    in_memory: bool = False  # whether `keep` has decoded them all

    def __len__(self) -> int:
        return len(self.names)


@contextmanager
def open_files(data: str | Path, role: Role = "images") -> Iterator[ImageFiles]:
    """Open a data set of any kind: a folder, a zip, a manifest, or a source that `datasets` reads.

    If the set has columns, `role` selects those that are read. In folders and zips, it only says
    whether files are images or fields.

    Raises:
        CaflowError: (exit 2) the set does not exist or cannot be read.
    """
    check_there(data)
    path = Path(data)
    wanted = is_field if role == "fields" else is_image
    folder = open_folder(path, wanted) if is_folder(path) else None
    if is_remote(str(data)) and not (folder and folder.members):
        yield open_remote(str(data), role)
    elif folder:
        yield folder
    elif path.suffix.lower() in MANIFESTS:
        yield open_manifest(path, role)
    else:
        with open_zip(path, wanted) as files:
            yield files


@contextmanager
def open_split(
    data: str | Path,
    split: str | None = None,
    size: int | None = None,
    *,
    role: Role = "images",
    seed: int = 0,
    hold_out: HoldOut | None = "2%",
    channels: Sequence[int] = (3, 3),
    least: int = 0,
    deep: bool = False,
    unit: str = "",
) -> Iterator[Examples]:
    """Open a split of a data set. Examples are decoded when they are read.

    If `val/` or `test/` is missing, a part of `train/`, or of all examples, is held out for it
    (`hold_out`). Only the names and `seed` decide which examples are held out. A subfolder of
    fields, such as a day, is never divided.

    Args:
        data: A data set that `open_files` can open.
        split: The split. Default: `test/` if there is one, else every image.
        size: Side of the images in pixels. Images of another shape are cropped to their largest
            central square and resized (Pillow LANCZOS). None leaves them unchanged.
        role: What to read; pairs have conditions in `A/` and targets in `B/`.
        seed: Determines which examples are held out.
        hold_out: The rule for how many: that of the model's training.
        channels: 3 (RGB) or 1 (gray) for each image of an example; used only with `size`.
        least: Minimum side of an image; if it is given, the images of a pair must have one size.
        deep: Keep the 16 bits of PNG and TIFF, with the extra `deep`.
        unit: The unit that fields must have, unless they state none.

    Raises:
        CaflowError: On entering, or from `Examples.read`: there are no images, or too few to split;
            or an image is smaller than `size` or `least`, or has no partner; or a field has another
            unit.
    """
    paired, grouped = role == "pairs", role == "fields"
    how: Table = {"paired": paired, "grouped": grouped, "hold_out": hold_out}
    with open_files(data, role) as files:
        part, chosen, held_out = choose(files, split, seed, **how)
        names = sorted(chosen)

        def read(row: int) -> list[Pixels]:
            members = chosen[names[row]]
            if grouped:
                (member,) = members
                return _field(files, member, unit, least)
            images = _decode(files, members, deep)
            _check_sides(images, members, size or least)
            if size is not None:
                wanted_channels = zip(images, channels, strict=False)
                return [_square(image, count, size) for image, count in wanted_channels]
            if least:
                sizes = {image.shape[:2]: None for image in images}
                stated = " and ".join(f"{width}x{height}" for height, width in sizes)
                ensure(
                    len(sizes) == 1,
                    f"the images of the pair {names[row]!r} are {stated}",
                    "give both images of a pair the same size, or train with --crop whole",
                )
            return images

        yield Examples(
            split=part,
            seed=seed if held_out else None,
            names=names,
            read=read,
            total=len(files.members) // (2 if paired else 1),
        )


def _field(files: ImageFiles, member: str, unit: str, least: int) -> list[Array]:
    """The values of a field, and its steps."""
    try:
        file = io.BytesIO(files.read(member))
        raster = read_field(file, nodata=math.nan, name=member, units=[unit]).image
    except CaflowError as error:
        raise DamagedError(error.message, error.hint) from error
    stated = unit_of(raster)
    ensure(
        stated.name == "" or same_unit(stated.name, unit),
        f"{member!r} is in {stated.name}, not {unit}",
        f"--unit {stated.name}, or remove it",
    )
    height, width = raster.size
    ensure(
        min(height, width) >= least,
        f"{member!r} is {width}×{height}, smaller than {least}×{least}",
        f"remove it, or train on smaller crops: --set task.size={min(height, width)}",
    )
    return [raster.values[..., 0], np.array([stated.step, stated.step_in == "db"])]


def extremes(fields: Examples) -> tuple[float, float]:
    """The least and the largest value of the fields of a split, damaged ones left out."""
    found: list[float] = []
    for row in range(len(fields)):
        with suppress(DamagedError):
            values = fields.read(row)[0]
            found += [float(np.nanmin(values)), float(np.nanmax(values))]
    low, high = min(found, default=math.nan), max(found, default=math.nan)
    ensure(low < high, f"all values of the training fields are {low}", "give fields that vary")
    return low, high


def _check_sides(images: Sequence[Pixels], members: Sequence[str], least: int) -> None:
    """Raise CaflowError for an image with a side of fewer than `least` pixels."""
    for image, member in zip(images, members, strict=True):
        height, width = image.shape[:2]
        side = min(height, width)
        ensure(
            side >= least,
            f"{member!r} is {width}x{height}, smaller than {least}x{least}",
            f"remove it, or train at a size of at most {side}: --set task.size=N",
        )


def keep(examples: Examples, most: float, data: str) -> Examples:
    """Decode all examples and keep them in memory, if they take at most `most` bytes.

    In a larger set, every example is decoded at each visit, and one that cannot be is replaced by
    the next.

    Raises:
        CaflowError: More than 1 % of all data cannot be decoded; it states the first reason.
    """
    kept = {}
    skipped: dict[str, DamagedError] = {}
    taken = 0  # bytes
    threads = min(8, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        # A few at a time: a camera's photographs take 36 MB each.
        for first in range(0, len(examples), 4 * threads):
            rows = range(first, min(first + 4 * threads, len(examples)))
            found = pool.map(partial(_decoded, examples), rows)
            for row, images in zip(rows, found, strict=True):
                if isinstance(images, DamagedError):
                    skipped[examples.names[row]] = images
                else:
                    kept[examples.names[row]] = images
                    taken += sum(image.nbytes for image in images)
            if taken > most:
                return replace(examples, read=partial(_read_near, examples, data))
    if len(skipped) > _MOST_DAMAGED * examples.total or not kept:
        error = next(iter(skipped.values()))
        raise CaflowError(
            f"{len(skipped)} of {len(examples)} images in {data!r} are not read: {error.message}",
            f"{error.hint}; up to 1 % are skipped",
        )
    in_order = list(kept.values())
    return replace(
        examples,
        names=list(kept),
        read=in_order.__getitem__,
        skipped=list(skipped),
        in_memory=True,
    )


def _decoded(examples: Examples, row: int) -> list[Pixels] | DamagedError:
    """Decode an example, or return why it cannot be."""
    try:
        return examples.read(row % len(examples))
    except DamagedError as error:
        return error


def _read_near(examples: Examples, data: str, row: int) -> list[Pixels]:
    """Decode an example, or the next that is not damaged."""
    first = _decoded(examples, row)
    found = first
    for near in range(row + 1, row + 10):
        if not isinstance(found, DamagedError):
            return found
        found = _decoded(examples, near)
    assert isinstance(first, DamagedError)
    raise CaflowError(f"ten images in a row of {data!r} are not read: {first.message}", first.hint)


def gray_sides(data: str | Path) -> tuple[bool, bool]:
    """Whether the conditions of a paired set are gray, and whether its targets are.

    A sample is inspected, spread evenly over the training pairs.
    """
    with open_split(data, "train", role="pairs") as pairs:
        count = min(_PEEK, len(pairs))
        found = [_decoded(pairs, number * len(pairs) // count) for number in range(count)]
        read = [pair for pair in found if not isinstance(pair, DamagedError)]
        return all(is_gray(pair[0]) for pair in read), all(is_gray(pair[1]) for pair in read)


def decode(files: ImageFiles, member: str, deep: bool = False) -> Pixels:
    """Decode an image file of a set, to sRGB; with 16 bits if it has them and `deep` says so."""
    image = decode_image(io.BytesIO(files.read(member)), member).image
    return image.converted(None).rounded(16 if deep else 8).values


def _decode(files: ImageFiles, members: tuple[str, ...], deep: bool) -> list[Pixels]:
    images = []
    for member in members:
        try:
            images.append(decode(files, member, deep))
        except CaflowError as error:
            raise DamagedError(error.message, error.hint) from error
    (height, width), *others = [image.shape[:2] for image in images]
    for h, w in others:
        # Aspects that differ by more than a pixel: a crop would shift one image against the other.
        ensure(
            abs(h * width - w * height) <= max(h, w, height, width),
            f"{members[0]!r} is {width}x{height}, {members[1]!r} {w}x{h}",
            "give both images of a pair the same aspect ratio",
        )
    of_one_depth = len({image.dtype for image in images}) == 1
    return images if of_one_depth else [in_8_bits(image) for image in images]


def central(image: Pixels, side: int) -> Pixels:
    """The square in the middle of an image."""
    top = (image.shape[0] - side) // 2
    left = (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]


def _square(pixels: Pixels, channels: int, size: int) -> Pixels:
    height, width = pixels.shape[:2]
    if channels == 3 and height == width == size:
        return pixels
    image = gray(pixels) if channels == 1 else pixels
    if (width, height) != (size, size):
        square = np.ascontiguousarray(central(image, min(height, width)))
        image = resize(square, size, size, Image.Resampling.LANCZOS)
    return image.reshape(size, size, channels)
