"""The images of a set, whatever holds them, and which of them belong to a split."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Literal

from ..errors import CaflowError, usage_error
from ..paths import exists

Split = Literal["train", "val", "test"]
Role = Literal["images", "pairs", "masks"]  # what is read from a set

_SPLITS = ("train", "val", "test")
_HELD_OUT = 50  # one example in so many goes to val, and as many to test
_SIDES = ("A/", "B/")  # of a pair: condition and target


@dataclass(frozen=True)
class Example:
    """An image, or a pair, and its name within the split."""

    name: str  # of a pair: without A/ or B/ and without suffix
    members: tuple[str, ...]  # (image,), or (condition, target)


@dataclass(frozen=True)
class ImageFiles:
    """The images of a set, named with forward slashes as in a folder."""

    where: str  # what holds them, as typed
    members: list[str]
    load: Callable[[str], bytes]

    def read(self, member: str) -> bytes:
        """The file of an image. CaflowError if it cannot be read."""
        try:
            return self.load(member)
        except CaflowError:
            raise
        except Exception as error:  # a broken zip leads its reader to errors of any kind
            reason = " ".join(str(getattr(error, "strerror", None) or error).split())
            raise CaflowError(
                f"{member!r} cannot be read: {reason or type(error).__name__}",
                "repair it or remove it",
            ) from error


def check_there(data: str | Path) -> None:
    """Refuse data that does not exist, before anything heavy is imported.

    Raises:
        CaflowError: (exit 2) there is no file or folder, and it is no `hf://owner/name`.
    """
    if str(data).startswith("hf://") or exists(data):
        return
    hint = "--data FOLDER, FILE.zip, FILE.csv or hf://owner/name"
    raise usage_error(f"no data at {str(data)!r}", hint)


@contextmanager
def of_masks(option: str = "--set masks=") -> Iterator[None]:
    """State in errors about data that they concern the masks, which `option` names."""
    try:
        yield
    except CaflowError as error:
        hint = error.hint.replace("--data ", option)
        raise CaflowError(f"masks: {error.message}", hint, error.exit_code) from error


def choose(
    files: ImageFiles, split: Split | Literal["all"], seed: int, *, paired: bool = False
) -> list[Example]:
    """Choose the examples of a split, in order of name; "all" is every image, or every pair.

    Folders `train/`, `val/` and `test/` are used as they are. A missing split is held out of
    `train/`, or of all images, by name and `seed`. Pairs lie in `A/` and `B/` within a split, or at
    the top of the set, and match by path without suffix.

    Raises:
        CaflowError: The split has no images, there are too few to divide, or an image lacks its
            partner.
    """
    if split not in (*_SPLITS, "all"):
        raise usage_error(f"unknown split {split!r}", "use train, val or test")
    where = repr(files.where)
    # The members of each split, by their names within it; "" is the top of the set.
    groups: dict[str, list[tuple[str, str]]] = {}
    names = _unwrap(files.members, (*_SPLITS, *_SIDES) if paired else _SPLITS)
    for name, member in zip(names, files.members, strict=True):
        top, _, rest = name.partition("/")
        group, name = (top, rest) if rest and top in _SPLITS else ("", name)
        groups.setdefault(group, []).append((name, member))
    splits = [name for name in _SPLITS if name in groups]
    if not groups:
        raise CaflowError(f"no images in {where}", "give a folder or zip with PNG or JPEG files")

    def examples(group: str) -> list[Example]:
        named, folder = groups.get(group, []), f"{group}/" if group else ""
        return _pair(named, folder, where) if paired else [Example(n, (m,)) for n, m in named]

    if split == "all":
        # Of a paired set with splits, what lies at its top outside of A/ and B/ is no pair.
        if paired and splits and not any(n.startswith(_SIDES) for n, _ in groups.get("", [])):
            groups.pop("", None)
        found = [
            Example(f"{group}/{one.name}" if group else one.name, one.members)
            for group in groups
            for one in examples(group)
        ]
        return sorted(found, key=lambda item: item.name)
    if splits and "train" not in splits and split not in splits:
        raise CaflowError(
            f"{where} has {' and '.join(f'{name}/' for name in splits)} but no {split}/",
            f"add a folder {split}/ to it",
        )
    if split in splits and split != "train":
        return sorted(examples(split), key=lambda item: item.name)
    pool = examples("train" if splits else "")
    missing = [name for name in ("val", "test") if name not in splits]
    if len(pool) <= len(missing):
        what = "pairs" if paired else "images"
        raise CaflowError(
            f"{where} has {len(pool)} {what} to split into train and {' and '.join(missing)}",
            f"give at least {len(missing) + 1}",
        )
    # By digest: a permutation that no library's generator can change, and that barely changes when
    # images are added.
    order = sorted(pool, key=lambda item: hashlib.sha256(f"{seed}:{item.name}".encode()).digest())
    count = max(1, len(pool) // _HELD_OUT)
    parts = {name: order[i * count : (i + 1) * count] for i, name in enumerate(missing)}
    parts["train"] = order[len(missing) * count :]
    return sorted(parts[split], key=lambda item: item.name)


def has_split(files: ImageFiles, split: Split) -> bool:
    """Whether the set has a folder for the split, with images in it."""
    names = _unwrap(files.members, (*_SPLITS, *_SIDES))
    return any(name.startswith(f"{split}/") for name in names)


def leads_out(member: str) -> bool:
    """Whether a path leads out of the folder that it is relative to."""
    parts = PureWindowsPath(member)  # knows both separators, and drives
    return bool(parts.anchor) or ".." in parts.parts


def _pair(named: Iterable[tuple[str, str]], folder: str, where: str) -> list[Example]:
    """Pairs of A/ and B/. CaflowError for two of one stem, or one without its partner."""
    sides: dict[str, dict[str, str]] = {side: {} for side in _SIDES}
    for name, member in named:
        side, path = name[:2], PurePosixPath(name[2:])
        if side in sides and path.name:
            stem = str(path.with_suffix(""))
            if stem in sides[side]:
                raise CaflowError(
                    f"{where} has two images {folder}{side}{stem} with different suffixes",
                    "remove one of them",
                )
            sides[side][stem] = member
    if not any(sides.values()):
        raise CaflowError(
            f"{where} has no images in {folder}A/ and {folder}B/",
            f"put conditions into {folder}A/ and targets of the same names into {folder}B/",
        )
    alone = [
        f"{folder}{side}{stem}"
        for side, other in (_SIDES, _SIDES[::-1])
        for stem in sorted(sides[side].keys() - sides[other].keys())
    ]
    if alone:
        more = f", and {len(alone) - 3} more" if len(alone) > 3 else ""
        raise CaflowError(
            f"{where} has images without their pair: {', '.join(alone[:3])}{more}",
            "give A and B the same names, whatever the suffix, or remove these",
        )
    return [Example(s, tuple(sides[side][s] for side in _SIDES)) for s in sorted(sides["A/"])]


def _unwrap(members: list[str], folders: Iterable[str]) -> list[str]:
    """Remove the one folder that all members lie in, if it contains `folders`."""
    known = {folder.rstrip("/") for folder in folders}
    tops = {member.partition("/")[0] for member in members}
    inner = [member.partition("/")[2] for member in members]
    inside = {name.partition("/")[0] for name in inner if "/" in name}
    return inner if len(tops) == 1 and not tops & known and inside & known else members
