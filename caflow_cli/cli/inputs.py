"""The images that arguments name: files, folders, globs, stdin, examples; and a process's share."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..assets import example_path
from ..errors import CaflowError, check_usage, usage_error
from ..images import SUFFIXES, Decoded, decode
from ..paths import exists, is_file, is_folder

if TYPE_CHECKING:
    from .console import Console

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
    problem: CaflowError | None = None  # why it cannot be read or written, if already known

    def read(self) -> Decoded:
        """Read the image. CaflowError (exit 1) if that fails."""
        if self.problem is not None:
            raise self.problem
        if self.path is not None:
            return decode(self.path, name=self.name)
        if sys.stdin is None:
            raise CaflowError("stdin is closed", "cat FILE | caflow … -")
        return decode(sys.stdin.buffer, name="stdin")


def find_inputs(
    arguments: Sequence[str],
    *,
    recursive: bool = False,
    aside: Collection[Path] = (),
    note: Callable[[str], object] = lambda _: None,
) -> list[InputImage]:
    """The images that arguments name, each once, in the order of the arguments.

    In a folder, and among the matches of a glob that the shell did not expand, the order is
    natural: `img2` before `img10`.

    Args:
        arguments: As typed.
        recursive: Search the folders in folders too.
        aside: Folders and files of results and masks, which are not taken from a folder.
        note: Is told what was left out of a folder.

    Raises:
        CaflowError: (exit 2) there is no such example, a glob has no match, or all arguments are
            folders without images.
    """
    sources: list[InputImage] = []
    hidden = {os.path.realpath(path) for path in aside}
    for argument in arguments:
        names = [argument]
        if _is_glob(argument):  # `Path.glob` refuses absolute patterns
            names = sorted(glob.glob(argument, recursive=True), key=natural_key)  # noqa: PTH207
        check_usage(bool(names), f"no file matches {argument!r}", "check the pattern")
        for name in names:
            if is_folder(name):
                sources += _search(Path(name), recursive, hidden, note)
            else:
                sources.append(_named(name))
    first = sources[0].problem
    if first is not None and all(one.problem is not None and not one.found for one in sources):
        raise usage_error(first.message, first.hint)  # all of them are folders without images
    unique: dict[str, InputImage] = {}
    for one in sources:
        unique.setdefault(str(one.path.absolute()) if one.path else one.name, one)
    return list(unique.values())


def names_one(arguments: Sequence[str]) -> bool:
    """Whether arguments can name one image only: no folder, no glob."""
    return len(arguments) == 1 and not is_folder(arguments[0]) and not _is_glob(arguments[0])


def natural_key(text: str) -> tuple[list[str | int], str]:
    """A sort key that orders numbers in names by value, and ignores the case of letters."""
    parts: list[str | int] = list(re.split(r"(\d+)", text.casefold()))
    parts[1::2] = [int(digits) for digits in parts[1::2]]
    return parts, text


def _is_glob(argument: str) -> bool:
    return glob.has_magic(argument) and not os.path.lexists(argument)


def _named(name: str) -> InputImage:
    if name == "-":
        return InputImage(name, None, "stdin")
    if name.startswith(_EXAMPLE):
        path = example_path(name.removeprefix(_EXAMPLE))
        return InputImage(name, path, path.stem)
    path = Path(name)
    check_usage(bool(path.name), f"{name!r} is not an image", "name image files")
    return InputImage(name, path, path.stem, path.parent)


def _search(
    root: Path, recursive: bool, hidden: Collection[str], note: Callable[[str], object]
) -> list[InputImage]:
    """The images in a folder, then those of its folders; no link to a folder is followed."""
    found: list[InputImage] = []
    left_out, top = Counter[str](), Path(os.path.realpath(root))

    def take(path: Path, problem: CaflowError | None = None) -> None:
        inside = path.parent.relative_to(root)
        one = InputImage(str(path), path, path.stem, path.parent, inside, True, problem)
        found.append(one)

    def fail(error: OSError) -> None:
        message = f"cannot search {str(error.filename)!r}: {error.strerror}"
        take(Path(error.filename, "*"), CaflowError(message, "check its permissions"))

    def seen(folder: str, names: list[str]) -> list[Path]:
        paths = [Path(folder, name) for name in sorted(names, key=natural_key) if name[0] != "."]
        return [path for path in paths if str(top / path.relative_to(root)) not in hidden]

    for folder, folders, files in os.walk(root, onerror=fail):
        inner = seen(folder, folders)
        folders[:] = [path.name for path in inner if recursive and not path.is_symlink()]
        left_out["folders"] += len(inner) - len(folders)
        for path in seen(folder, files):
            # A broken link is reported; a pipe is left out, for it would wait for a writer.
            if path.suffix.lower() in _TAKEN and (is_file(path) or not exists(path)):
                take(path)
            else:
                left_out["files of other kinds"] += 1
    if not found:
        hint = "-r searches its folders too" if left_out["folders"] else "name image files"
        problem = CaflowError(f"no images in the folder {str(root)!r}", hint)
        return [InputImage(str(root), root, root.name, problem=problem)]
    for what, count in (+left_out).items():
        note(f"{root}: {what} left out: {count}{' (see -r)' * (what == 'folders')}")
    return found


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
        message = f"{what} needs all inputs in one process, not shard {self.number}/{self.count}"
        check_usage(not (wanted and self.count > 1), message, f"--shard 1/1, or no {what}")


def find_shard(typed: str | None, console: Console) -> Shard:
    """The share that `--shard K/N` names, else the one of a launcher. CaflowError (exit 2)."""
    rank, world = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    if typed is None and rank.isdecimal() and world.isdecimal() and world != "1":
        typed = f"{int(rank) + 1}/{world}"
        console.note(f"--shard {typed}, by RANK and WORLD_SIZE")
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", "1/1" if typed is None else typed)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        hint = "--shard 1/4 to --shard 4/4, for four processes"
        raise usage_error(f"--shard is {typed!r}", hint)
    return Shard(int(match[1]), int(match[2]))
