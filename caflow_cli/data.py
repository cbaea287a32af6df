"""Image sets: a folder or a zip of pictures as one uint8 tensor a split."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from .errors import EXIT_USAGE, CaflowError
from .images import SUFFIXES, read_image

__all__ = ["ImageSet", "Split", "load_split"]

Split = Literal["train", "val", "test"]

_SPLITS = ("train", "val", "test")
_HELD_OUT = 50  # one picture in so many goes to val, and as many to test
_MAX_SKIPPED = 0.01


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


def load_split(
    path: str | Path, split: Split, size: int, *, channels: int = 3, seed: int = 0
) -> ImageSet:
    """The pictures of a split at `size` x `size`, in order of name.

    Folders `train/`, `val/`, `test/` are used as they stand. Where `val/` or `test/` is missing,
    2 % of `train/` (at least one picture) is held out for it; with none of the three, 2 % of all
    pictures for each. What is held out depends on the names and `seed` alone. A picture of another
    shape is cropped to its largest central square and resized (Pillow LANCZOS).

    Args:
        path: A folder (searched through, hidden files left out) or a .zip, read in memory.
        size: Side of the pictures in pixels.
        channels: 3 for RGB, 1 for grey (Pillow `L`).

    Raises:
        CaflowError: The path is missing or no folder or zip (exit 2), the split is empty, a picture
            is smaller than `size`, or more than 1 % of the files are damaged.
    """
    if split not in _SPLITS:
        raise CaflowError(f"unknown split {split!r}", "use train, val or test", EXIT_USAGE)
    if channels not in (1, 3):
        raise CaflowError(f"channels is {channels}", "use 3 (RGB) or 1 (grey)", EXIT_USAGE)
    with _open_source(Path(path)) as (members, read):
        chosen = _choose(members, split, seed, path)
        images = torch.empty((len(chosen), channels, size, size), dtype=torch.uint8)
        rows = images.numpy()

        def load(row: int) -> bool:
            name, member = chosen[row]
            try:
                data = read(member)
                picture = read_image(io.BytesIO(data), name=name)
            except (CaflowError, OSError, EOFError, zipfile.BadZipFile, zlib.error):
                return False
            rows[row] = _square(picture, size, channels, name).transpose(2, 0, 1)
            return True

        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            loaded = list(pool.map(load, range(len(chosen))))
    names = [name for name, _ in chosen]
    skipped = [name for name, ok in zip(names, loaded, strict=True) if not ok]
    if len(skipped) > _MAX_SKIPPED * len(names):
        raise CaflowError(
            f"{len(skipped)} of {len(names)} pictures in {str(path)!r} are damaged, "
            f"first {skipped[0]!r}",
            "repair or remove them; up to 1 % is skipped",
        )
    if skipped:
        images = images[torch.tensor(loaded)]
        names = [name for name, ok in zip(names, loaded, strict=True) if ok]
    return ImageSet(images, names, skipped)


def _square(
    picture: npt.NDArray[np.uint8], size: int, channels: int, name: str
) -> npt.NDArray[np.uint8]:
    """(H, W, 3) to (size, size, channels)."""
    height, width = picture.shape[:2]
    if min(height, width) < size:
        raise CaflowError(
            f"{name!r} is {width}x{height}, smaller than {size}x{size}",
            f"remove it, or train at a size of at most {min(height, width)}",
        )
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


def _choose(members: list[str], split: Split, seed: int, path: str | Path) -> list[tuple[str, str]]:
    """(name within the split, member) of its pictures, in order of name."""
    where = repr(str(path))
    named = list(zip(_unwrap(members), members, strict=True))
    if not named:
        raise CaflowError(
            f"no pictures in {where}",
            f"give a folder or zip with {', '.join(sorted(SUFFIXES))} files",
        )
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, member in named:
        top, _, rest = name.partition("/")
        if rest and top in _SPLITS:
            groups.setdefault(top, []).append((rest, member))
    if groups and "train" not in groups and split not in groups:
        raise CaflowError(
            f"{where} has {' and '.join(f'{g}/' for g in groups)} but no {split}/",
            f"add a folder {split}/ to it",
        )
    pool = groups.get("train", []) if groups else named
    if split in groups and split != "train":
        return sorted(groups[split])
    missing = [s for s in ("val", "test") if s not in groups]
    if len(pool) <= len(missing):
        raise CaflowError(
            f"{where} has {len(pool)} pictures to split into train and {' and '.join(missing)}",
            f"give at least {len(missing) + 1}",
        )
    # By digest: a permutation that no library's generator can change, and that barely moves when
    # pictures are added.
    order = sorted(pool, key=lambda pair: hashlib.sha256(f"{seed}:{pair[0]}".encode()).digest())
    count = max(1, len(pool) // _HELD_OUT)
    parts = {s: order[i * count : (i + 1) * count] for i, s in enumerate(missing)}
    parts["train"] = order[len(missing) * count :]
    return sorted(parts[split])


def _unwrap(members: list[str]) -> list[str]:
    """Members without the one folder they all lie in, where the splits lie inside it."""
    tops = {member.partition("/")[0] for member in members}
    inner = [member.partition("/")[2] for member in members]
    inside = {name.partition("/")[0] for name in inner if "/" in name}
    return (
        inner if len(tops) == 1 and not tops & set(_SPLITS) and inside & set(_SPLITS) else members
    )


@contextmanager
def _open_source(path: Path) -> Iterator[tuple[list[str], Callable[[str], bytes]]]:
    """Pictures under a path (relative, with forward slashes) and the function that reads one."""
    if path.is_dir():
        yield _walk(path), lambda member: (path / member).read_bytes()
        return
    if not path.exists():
        raise CaflowError(
            f"no data at {str(path)!r}", "--data FOLDER or --data FILE.zip", EXIT_USAGE
        )
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise CaflowError(
            f"{str(path)!r} is neither a folder nor a readable zip",
            "--data FOLDER or --data FILE.zip",
            EXIT_USAGE,
        ) from error
    with archive:
        entries = [e for e in archive.infolist() if not e.is_dir() and _is_picture(e.filename)]
        if any(entry.flag_bits & 1 for entry in entries):
            raise CaflowError(
                f"{str(path)!r} is encrypted", "unpack it and give the folder", EXIT_USAGE
            )
        yield list({entry.filename: None for entry in entries}), archive.read


def _walk(root: Path) -> list[str]:
    """Pictures under a folder; links to folders are followed, each folder once."""
    found: list[str] = []
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        inside = Path(folder).relative_to(root)
        found += [p for file in files if _is_picture(p := (inside / file).as_posix())]
    return found


def _is_picture(member: str) -> bool:
    path = PurePosixPath(member)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden
