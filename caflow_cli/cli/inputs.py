"""The images that arguments name: files, folders, globs, stdin, examples."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..assets import example_path
from ..errors import EXIT_USAGE, CaflowError
from ..images import SUFFIXES, Decoded, decode
from ..paths import exists, is_folder, url_of

if TYPE_CHECKING:
    from .console import Console

_T = TypeVar("_T")

__all__ = [
    "InputImage",
    "Inputs",
    "Shard",
    "find_inputs",
    "find_shard",
    "names_one",
    "natural_key",
]

_EXAMPLE = "example:"
# Files that are taken from a folder; a file that is named is taken whatever its suffix.
_TAKEN = SUFFIXES | {".gif", ".apng", ".jfif", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2"}


@dataclass(frozen=True)
class InputImage:
    """One image to be read.

    Attributes:
        name: Its name in messages and JSON: as typed, or the path found in a folder.
        path: Where its bytes are; None for stdin.
        stem: The first part of its results' names.
        folder: Folder of its results, unless the user names one.
        inside: Path of its results within the folder that the user names: folders are mirrored.
        found: Whether it was found in a folder, not named.
        problem: Why it cannot be read, if that is already known.
    """

    name: str
    path: Path | None
    stem: str
    folder: Path = Path()
    inside: Path = Path()
    found: bool = False
    problem: CaflowError | None = None

    @property
    def label(self) -> str:
        """The name in a figure, without folders."""
        return "stdin" if self.path is None else Path(self.name).name

    def read(self) -> Decoded:
        """Read the image. CaflowError (exit 1) if that fails."""
        if self.problem is not None:
            raise self.problem
        if self.path is not None:
            return decode(self.path, name=self.name)
        if sys.stdin is None:
            raise CaflowError("stdin is closed", "cat FILE | caflow … -")
        return decode(sys.stdin.buffer, name="stdin")


@dataclass(frozen=True)
class Inputs:
    """The images that arguments name, in order, and notes on images that were left out."""

    sources: list[InputImage]
    notes: list[str]


def find_inputs(
    arguments: Sequence[str], *, recursive: bool = False, aside: Collection[Path] = ()
) -> Inputs:
    """The images that arguments name, each once.

    Arguments keep their order. In a folder, and among the matches of a glob that the shell did not
    expand, the order is natural: `img2` before `img10`. In folders, files that have the suffix of a
    image and are not hidden are taken. Links to folders are followed, and each folder is searched
    once.

    Args:
        recursive: Search the folders in folders too.
        aside: Folders and files of results and masks. They are left out if they lie in a folder
            that is searched.

    Raises:
        CaflowError: (exit 2) there is no such example, a glob has no match, stdin is a terminal, or
            all arguments are folders without images.
    """
    sources: list[InputImage] = []
    notes: list[str] = []
    for argument in arguments:
        _refuse_url(argument)
        for name in _expand_glob(argument):
            path = Path(name)
            if name and not name.startswith(_EXAMPLE) and is_folder(path):
                found = _Search(path, recursive, aside)
                sources += found.sources or [found.nothing()]
                notes += found.notes()
            else:
                sources.append(_named(name))
    empty = [s.problem for s in sources if s.problem is not None and not s.found]
    if empty and len(empty) == len(sources):
        raise CaflowError(empty[0].message, empty[0].hint, EXIT_USAGE)
    unique: dict[str, InputImage] = {}
    for source in sources:
        unique.setdefault(str(source.path.absolute()) if source.path else source.name, source)
    return Inputs(list(unique.values()), notes)


def names_one(arguments: Sequence[str]) -> bool:
    """Whether arguments can name one image only: no folder, no glob."""
    return len(arguments) == 1 and not is_folder(arguments[0]) and not _is_glob(arguments[0])


def natural_key(text: str) -> tuple[list[str | int], str]:
    """A sort key that orders numbers in names by value, and ignores the case of letters."""
    parts: list[str | int] = list(re.split(r"(\d+)", text.casefold()))
    parts[1::2] = [int(digits) for digits in parts[1::2]]
    return parts, text


def _refuse_url(name: str) -> None:
    """CaflowError (exit 2) for a URL, which is no file."""
    if url := url_of(name):
        raise CaflowError(
            f"{name!r} is a URL, and images are read from files",
            f"curl -L {url} | caflow … -, or download it first",
            EXIT_USAGE,
        )


def _named(name: str) -> InputImage:
    if name == "-":
        if sys.stdin is not None and sys.stdin.isatty():
            raise CaflowError("stdin is a terminal", "cat FILE | caflow … -", EXIT_USAGE)
        return InputImage(name, None, "stdin")
    if name.startswith(_EXAMPLE):
        path = example_path(name.removeprefix(_EXAMPLE))
        return InputImage(name, path, path.stem)
    path = Path(name)
    if not path.name:
        raise CaflowError(f"{name!r} is not an image", "name image files", EXIT_USAGE)
    return InputImage(name, path, path.stem, path.parent)


def _expand_glob(argument: str) -> list[str]:
    if not _is_glob(argument):
        return [argument]
    # `Path.glob` refuses absolute patterns.
    matches = sorted(glob.glob(argument, recursive=True), key=natural_key)  # noqa: PTH207
    if not matches:
        raise CaflowError(f"no file matches {argument!r}", "check the pattern", EXIT_USAGE)
    return matches


def _is_glob(argument: str) -> bool:
    return glob.has_magic(argument) and not os.path.lexists(argument)


class _Search:
    """The images in one folder."""

    def __init__(self, root: Path, recursive: bool, aside: Collection[Path]) -> None:
        self.root, self.recursive = root, recursive
        self.real_root = os.path.realpath(root)
        self.aside = {os.path.realpath(path) for path in aside}
        self.seen: set[str] = set()
        self.closed_folders = self.other_files = 0
        self.sources = list(self._walk(Path()))

    def nothing(self) -> InputImage:
        hint = "-r searches its folders too" if self.closed_folders else "name image files"
        problem = CaflowError(f"no images in the folder {str(self.root)!r}", hint)
        return InputImage(str(self.root), self.root, self.root.name, problem=problem)

    def notes(self) -> list[str]:
        notes = []
        if self.sources and self.closed_folders:
            notes.append(
                f"{self.root}: {_counted(self.closed_folders, 'folder')} not searched (-r does)"
            )
        if self.other_files:
            notes.append(
                f"{self.root}: {_counted(self.other_files, 'file')} of other kinds left out"
            )
        return notes

    def _walk(self, inside: Path) -> Iterator[InputImage]:
        folder = self.root / inside
        self.seen.add(os.path.realpath(folder))
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: natural_key(entry.name))
        except OSError as error:
            problem = CaflowError(
                f"cannot search {str(folder)!r}: {error.strerror}", "check its permissions"
            )
            yield self._source(inside / "*", problem)
            return
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = inside / entry.name
            if _is(entry.is_dir):
                if not self.recursive:
                    self.closed_folders += 1
                elif self._is_new(entry):
                    yield from self._walk(path)
            elif path.suffix.lower() not in _TAKEN:
                self.other_files += 1
            elif self.aside and os.path.realpath(entry.path) in self.aside:
                continue
            elif _is(entry.is_file) or not exists(entry):  # a broken link is reported
                yield self._source(path, None)
            else:  # opening a pipe would wait for a writer
                problem = CaflowError(
                    f"{entry.path!r} is not a regular file", "cat FILE | caflow … -"
                )
                yield self._source(path, problem)

    def _is_new(self, entry: os.DirEntry[str]) -> bool:
        """Whether to search a folder: not if it is left aside, and not a second time."""
        real = os.path.realpath(entry.path)
        if real in self.aside or real in self.seen:
            return False
        # A link to what is searched anyway, or to a folder that holds this one.
        return not entry.is_symlink() or not (
            _holds(self.real_root, real) or _holds(real, self.real_root)
        )

    def _source(self, path: Path, problem: CaflowError | None) -> InputImage:
        full = self.root / path
        return InputImage(str(full), full, full.stem, full.parent, path.parent, True, problem)


def _is(check: object) -> bool:
    try:
        return bool(check())  # type: ignore[operator]
    except OSError:  # a link to itself
        return False


def _holds(folder: str, other: str) -> bool:
    return Path(other).is_relative_to(folder)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


@dataclass(frozen=True)
class Shard:
    """Every `count`-th input, from number `number` on, which counts from 1."""

    number: int = 1
    count: int = 1

    def of(self, inputs: Sequence[_T]) -> list[_T]:
        """The inputs of this share."""
        return list(inputs[self.number - 1 :: self.count])

    def refuse(self, what: str, wanted: bool) -> None:
        """Refuse what needs all inputs in one process: CaflowError (exit 2)."""
        if wanted and self.count > 1:
            raise CaflowError(
                f"{what} needs all inputs in one process, and this is shard "
                f"{self.number}/{self.count}",
                f"--shard 1/1, or leave {what} out",
                EXIT_USAGE,
            )


def find_shard(typed: str | None, console: Console) -> Shard:
    """The share that `--shard K/N` names, else the one of a launcher (`torchrun`).

    Raises:
        CaflowError: (exit 2) `typed` is no share.
    """
    if typed is None:
        rank, world = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
        if not (rank.isdecimal() and world.isdecimal()) or not int(rank) < int(world) > 1:
            return Shard()
        shard = Shard(int(rank) + 1, int(world))
        console.note(f"--shard {shard.number}/{shard.count}, by RANK and WORLD_SIZE")
        return shard
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", typed)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise CaflowError(
            f"--shard is {typed!r}", "--shard 1/4 to --shard 4/4, for four processes", EXIT_USAGE
        )
    return Shard(int(match[1]), int(match[2]))
