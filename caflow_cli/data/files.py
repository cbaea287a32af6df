"""The pictures of a folder or a zip, and the split of each."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

from ..errors import EXIT_USAGE, CaflowError
from ..images import MAX_BYTES, SUFFIXES, read_image
from ..paths import exists, is_folder
from .member import read_member
from .missing import no_data

__all__ = [
    "Example",
    "PictureFiles",
    "Split",
    "choose",
    "condition_channels",
    "count_pictures",
    "has_split",
    "open_files",
]

Split = Literal["train", "val", "test"]

_SPLITS = ("train", "val", "test")
_HELD_OUT = 50  # one picture in so many goes to val, and as many to test
_SIDES = ("A", "B")  # of a pair: condition and target
_PEEK = 32  # pictures that are looked at to tell whether conditions are grey


@dataclass(frozen=True)
class Example:
    """A picture, or a pair, and its name within the split."""

    name: str  # of a pair: without A/ or B/ and without suffix
    members: tuple[str, ...]  # (picture,), or (condition, target)


@dataclass(frozen=True)
class PictureFiles:
    """The pictures under a path, named relative to it with forward slashes, and their reader."""

    path: Path
    members: list[str]
    read: Callable[[str], bytes]  # CaflowError where that fails
    stamp: Callable[[str], str]  # changes where a member does
    size: Callable[[str], int]  # bytes of a member


def choose(
    files: PictureFiles, split: Split | Literal["all"], seed: int, *, paired: bool = False
) -> list[Example]:
    """Choose the examples of a split, in order of name; "all" is every picture.

    Folders `train/`, `val/` and `test/` are used as they are. A missing split is held out of
    `train/`, or of all pictures, by name and `seed`. Pairs lie in `A/` and `B/` within a split, or
    at the top of the set, and match by path without suffix.

    Raises:
        CaflowError: The split has no pictures, there are too few to divide, or a picture lacks its
            pair.
    """
    if split not in (*_SPLITS, "all"):
        raise CaflowError(f"unknown split {split!r}", "use train, val or test", EXIT_USAGE)
    where = repr(str(files.path))
    folders = (*_SPLITS, *_SIDES) if paired else _SPLITS
    named = list(zip(_unwrap(files.members, folders), files.members, strict=True))
    if not named:
        raise CaflowError(
            f"no pictures in {where}",
            f"give a folder or zip with {', '.join(sorted(SUFFIXES))} files",
        )
    group = _pair if paired else _single
    if split == "all":
        return group(named, "", where)
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
    if split in groups and split != "train":
        return group(groups[split], f"{split}/", where)
    pool = (
        group(groups["train"], "train/", where)
        if groups.get("train")
        else group([] if groups else named, "", where)
    )
    missing = [s for s in ("val", "test") if s not in groups]
    if len(pool) <= len(missing):
        what = "pairs" if paired else "pictures"
        raise CaflowError(
            f"{where} has {len(pool)} {what} to split into train and {' and '.join(missing)}",
            f"give at least {len(missing) + 1}",
        )
    # By digest: a permutation that no library's generator can change, and that barely moves when
    # pictures are added.
    order = sorted(pool, key=lambda item: hashlib.sha256(f"{seed}:{item.name}".encode()).digest())
    count = max(1, len(pool) // _HELD_OUT)
    parts = {s: order[i * count : (i + 1) * count] for i, s in enumerate(missing)}
    parts["train"] = order[len(missing) * count :]
    return sorted(parts[split], key=lambda item: item.name)


def has_split(files: PictureFiles, split: Split) -> bool:
    """Whether the set has a folder for the split, with pictures in it."""
    names = _unwrap(files.members, (*_SPLITS, *_SIDES))
    return any(name.startswith(f"{split}/") for name in names)


def count_pictures(path: str | Path, *, seed: int = 0, paired: bool = False) -> dict[Split, int]:
    """Count the pictures, or pairs, of each split. Nothing is decoded.

    Raises:
        CaflowError: As for `choose`, with the splits that training needs.
    """
    with open_files(Path(path)) as files:
        splits: tuple[Split, ...] = ("train", "val", "test")
        return {split: len(choose(files, split, seed, paired=paired)) for split in splits}


def condition_channels(path: str | Path) -> int:
    """The number of channels for a paired set's conditions: 1 if the ones looked at are grey."""
    with open_files(Path(path)) as files:
        for example in choose(files, "train", 0, paired=True)[:_PEEK]:
            member = example.members[0]
            try:
                picture = read_image(io.BytesIO(files.read(member)), name=member)
            except CaflowError:
                continue  # loading names it
            if (picture != picture[..., :1]).any():
                return 3
    return 1


def _single(named: Iterable[tuple[str, str]], folder: str, where: str) -> list[Example]:
    return sorted((Example(n, (m,)) for n, m in named), key=lambda item: item.name)


def _pair(named: Iterable[tuple[str, str]], folder: str, where: str) -> list[Example]:
    """Pairs of A/ and B/. CaflowError for two of one stem, or one without its pair."""
    sides: dict[str, dict[str, str]] = {side: {} for side in _SIDES}
    for name, member in named:
        side, _, rest = name.partition("/")
        if rest and side in sides:
            stem = str(PurePosixPath(rest).with_suffix(""))
            if stem in sides[side]:
                raise CaflowError(
                    f"{where} has two pictures {folder}{side}/{stem} with different suffixes",
                    "remove one of them",
                )
            sides[side][stem] = member
    if not any(sides.values()):
        raise CaflowError(
            f"{where} has no pictures in {folder}A/ and {folder}B/",
            f"put conditions into {folder}A/ and targets of the same names into {folder}B/",
        )
    alone = [
        f"{folder}{side}/{stem}"
        for side, other in (_SIDES, _SIDES[::-1])
        for stem in sorted(sides[side].keys() - sides[other].keys())
    ]
    if alone:
        more = f", and {len(alone) - 3} more" if len(alone) > 3 else ""
        raise CaflowError(
            f"{where} has pictures without their pair: {', '.join(alone[:3])}{more}",
            "give A and B the same names, whatever the suffix, or remove these",
        )
    return [Example(s, tuple(sides[side][s] for side in _SIDES)) for s in sorted(sides["A"])]


def _unwrap(members: list[str], folders: Iterable[str]) -> list[str]:
    """Remove the one folder that all members lie in, if it contains `folders`."""
    known = set(folders)
    tops = {member.partition("/")[0] for member in members}
    inner = [member.partition("/")[2] for member in members]
    inside = {name.partition("/")[0] for name in inner if "/" in name}
    return inner if len(tops) == 1 and not tops & known and inside & known else members


@contextmanager
def open_files(path: Path) -> Iterator[PictureFiles]:
    """Open a folder (with its subfolders, without hidden files) or a zip, which is read in memory.

    Raises:
        CaflowError: (exit 2) the path does not exist, or is neither a folder nor a zip.
    """
    if is_folder(path):

        def stamp(member: str) -> str:
            status = (path / member).stat()
            return f"{status.st_size} {status.st_mtime_ns}"

        def read(member: str) -> bytes:
            with (path / member).open("rb") as file:
                return file.read(MAX_BYTES + 1)  # a byte too many: decoding refuses it then

        def size(member: str) -> int:
            with suppress(OSError):  # reading says it
                return (path / member).stat().st_size
            return 0

        yield PictureFiles(path, _walk(path), lambda m: _read(read, m), stamp, size)
        return
    if not exists(path):
        raise no_data(path)
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # of a broken file: it raises whatever that leads it to
        raise CaflowError(
            f"{str(path)!r} is neither a folder nor a readable zip",
            "--data FOLDER or --data FILE.zip",
            EXIT_USAGE,
        ) from error
    with archive:
        entries = [e for e in archive.infolist() if _is_picture(e.filename) and not e.is_dir()]
        if any(entry.flag_bits & 1 for entry in entries):
            raise CaflowError(
                f"{str(path)!r} is encrypted", "unpack it and give the folder", EXIT_USAGE
            )
        for entry in entries:
            # Results are written under the names of what they were made from.
            if _leads_out(entry.filename):
                raise CaflowError(
                    f"{str(path)!r} has a member {entry.filename!r}, whose path leads out of it",
                    "unpack it with care, and give the folder",
                    EXIT_USAGE,
                )
        members = list({entry.filename: None for entry in entries})
        yield PictureFiles(
            path,
            members,
            lambda m: _read(lambda name: read_member(archive, name), m),
            lambda m: str(archive.getinfo(m).CRC),
            lambda m: archive.getinfo(m).file_size,
        )


def _read(read: Callable[[str], bytes], member: str) -> bytes:
    """Read all bytes of a member. CaflowError if that fails."""
    try:
        return read(member)
    except CaflowError:
        raise
    except Exception as error:  # what unpacks a broken zip raises whatever that leads it to
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise CaflowError(
            f"{member!r} cannot be read: {reason or type(error).__name__}",
            "repair it or remove it",
        ) from error


def _leads_out(member: str) -> bool:
    parts = PureWindowsPath(member)  # knows both separators, and drives
    return bool(parts.anchor) or ".." in parts.parts


def _walk(root: Path) -> list[str]:
    """Yield the pictures under a folder. Links to folders are followed, each folder once."""
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
