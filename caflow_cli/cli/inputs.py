"""The images that arguments name: files, folders, globs, stdin, examples; and a process's share."""

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
from ..errors import CaflowError, usage_error
from ..images import SUFFIXES, Decoded, decode
from ..paths import exists, is_file, is_folder, url_of

if TYPE_CHECKING:
    from .console import Console

__all__ = ["InputImage", "Shard", "find_inputs", "find_shard", "names_one", "natural_key"]

_T = TypeVar("_T")
_EXAMPLE = "example:"
# Files that are taken from a folder; a file that is named is taken whatever its suffix.
_TAKEN = SUFFIXES | {".gif", ".apng", ".jfif", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2"}


@dataclass(frozen=True)
class InputImage:
    """One image to be read."""

    name: str  # in messages and JSON: as typed, or the path found in a folder
    path: Path | None  # None: stdin
    stem: str  # the first part of its results' names
    folder: Path = Path()  # of its results, unless the user names one
    inside: Path = Path()  # where its results go in the folder that the user names
    found: bool = False  # in a folder, not named
    problem: CaflowError | None = None  # why it cannot be read, if that is already known

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
class _Inputs:
    sources: list[InputImage]
    notes: list[str]  # on files that were left out


def find_inputs(
    arguments: Sequence[str], *, recursive: bool = False, aside: Collection[Path] = ()
) -> _Inputs:
    """The images that arguments name, each once.

    Arguments keep their order. In a folder, and among the matches of a glob that the shell did not
    expand, the order is natural: `img2` before `img10`. In folders, files that have the suffix of
    an image and are not hidden are taken. Links to folders are followed, and each folder is
    searched once.

    Args:
        arguments: As typed.
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
        if url := url_of(argument):
            raise usage_error(
                f"{argument!r} is a URL, and images are read from files",
                f"curl -L {url} | caflow … -, or download it first",
            )
        for name in _expand_glob(argument):
            if name and not name.startswith(_EXAMPLE) and is_folder(name):
                found = _Search(Path(name), recursive, aside)
                sources += found.sources or [found.nothing()]
                notes += found.notes()
            else:
                sources.append(_named(name))
    empty = [s.problem for s in sources if s.problem is not None and not s.found]
    if empty and len(empty) == len(sources):
        raise usage_error(empty[0].message, empty[0].hint)
    unique: dict[str, InputImage] = {}
    for source in sources:
        unique.setdefault(str(source.path.absolute()) if source.path else source.name, source)
    return _Inputs(list(unique.values()), notes)


def names_one(arguments: Sequence[str]) -> bool:
    """Whether arguments can name one image only: no folder, no glob."""
    return len(arguments) == 1 and not is_folder(arguments[0]) and not _is_glob(arguments[0])


def natural_key(text: str) -> tuple[list[str | int], str]:
    """A sort key that orders numbers in names by value, and ignores the case of letters."""
    parts: list[str | int] = list(re.split(r"(\d+)", text.casefold()))
    parts[1::2] = [int(digits) for digits in parts[1::2]]
    return parts, text


def _named(name: str) -> InputImage:
    if name == "-":
        if sys.stdin is not None and sys.stdin.isatty():
            raise usage_error("stdin is a terminal", "cat FILE | caflow … -")
        return InputImage(name, None, "stdin")
    if name.startswith(_EXAMPLE):
        path = example_path(name.removeprefix(_EXAMPLE))
        return InputImage(name, path, path.stem)
    path = Path(name)
    if not path.name:
        raise usage_error(f"{name!r} is not an image", "name image files")
    return InputImage(name, path, path.stem, path.parent)


def _expand_glob(argument: str) -> list[str]:
    if not _is_glob(argument):
        return [argument]
    # `Path.glob` refuses absolute patterns.
    matches = sorted(glob.glob(argument, recursive=True), key=natural_key)  # noqa: PTH207
    if not matches:
        raise usage_error(f"no file matches {argument!r}", "check the pattern")
    return matches


def _is_glob(argument: str) -> bool:
    return glob.has_magic(argument) and not os.path.lexists(argument)


class _Search:
    """The images in one folder."""

    def __init__(self, root: Path, recursive: bool, aside: Collection[Path]) -> None:
        self.root, self.recursive = root, recursive
        self.real_root = Path(os.path.realpath(root))
        self.aside = {os.path.realpath(path) for path in aside}
        self.seen: set[str] = set()
        self.closed_folders = self.other_files = 0
        self.sources = list(self._walk(Path()))

    def nothing(self) -> InputImage:
        hint = "-r searches its folders too" if self.closed_folders else "name image files"
        problem = CaflowError(f"no images in the folder {str(self.root)!r}", hint)
        return InputImage(str(self.root), self.root, self.root.name, problem=problem)

    def notes(self) -> list[str]:
        folders, files = self.closed_folders if self.sources else 0, self.other_files
        counts = (
            (folders, f"{folders} folder{'s' * (folders != 1)} not searched (-r does)"),
            (files, f"{files} file{'s' * (files != 1)} of other kinds left out"),
        )
        return [f"{self.root}: {text}" for count, text in counts if count]

    def _walk(self, inside: Path) -> Iterator[InputImage]:
        folder = self.root / inside
        self.seen.add(os.path.realpath(folder))
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: natural_key(entry.name))
        except OSError as error:
            message = f"cannot search {str(folder)!r}: {error.strerror}"
            yield self._source(inside / "*", CaflowError(message, "check its permissions"))
            return
        for entry in entries:
            path, real = inside / entry.name, os.path.realpath(entry.path)
            if entry.name.startswith("."):
                continue
            if is_folder(entry):
                if not self.recursive:
                    self.closed_folders += 1
                elif self._is_new(entry, real):
                    yield from self._walk(path)
            elif path.suffix.lower() not in _TAKEN:
                self.other_files += 1
            elif real in self.aside:
                continue
            elif is_file(entry) or not exists(entry):  # a broken link is reported
                yield self._source(path)
            else:  # opening a pipe would wait for a writer
                message = f"{entry.path!r} is not a regular file"
                yield self._source(path, CaflowError(message, "cat FILE | caflow … -"))

    def _is_new(self, entry: os.DirEntry[str], real: str) -> bool:
        """Whether to search a folder: not if it is left aside, and not a second time."""
        if real in self.aside or real in self.seen:
            return False
        # A link to what is searched anyway, or to a folder that holds this one.
        inside = Path(real).is_relative_to(self.real_root)
        return not entry.is_symlink() or not (inside or self.real_root.is_relative_to(real))

    def _source(self, path: Path, problem: CaflowError | None = None) -> InputImage:
        full = self.root / path
        return InputImage(str(full), full, full.stem, full.parent, path.parent, True, problem)


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
            share = f"this is shard {self.number}/{self.count}"
            raise usage_error(
                f"{what} needs all inputs in one process, and {share}",
                f"--shard 1/1, or leave {what} out",
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
        hint = "--shard 1/4 to --shard 4/4, for four processes"
        raise usage_error(f"--shard is {typed!r}", hint)
    return Shard(int(match[1]), int(match[2]))
