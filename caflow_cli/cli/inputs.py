"""Find the images that arguments name: files, folders, globs, stdin, examples; and shards."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..assets import example_path
from ..errors import CaflowError, check_usage, ensure, usage_error
from ..images import SUFFIXES, Decoded, Header, decode, read_header
from ..paths import exists, is_file, is_folder

if TYPE_CHECKING:
    from .console import Console

Note = Callable[[str], object]  # receives messages for the user
About = Callable[[str, str], object]  # receives the name of an image, and a message on it

_EXAMPLE = "example:"
# Suffixes of files taken from folders. A file that is named is taken whatever its suffix.
_TAKEN = SUFFIXES | {".gif", ".apng", ".jfif", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2"}


@dataclass(frozen=True)
class InputImage:
    """One image to read."""

    name: str  # for messages and JSON: as typed, or the path found in a folder
    path: Path | None  # None: stdin
    stem: str  # the first part of the names of its results
    folder: Path = Path()  # where its results go, unless the user names a folder
    inside: Path = Path()  # subfolder for its results in the folder that the user names
    found: bool = False  # whether it was found in a folder, rather than named
    problem: CaflowError | None = None  # why it cannot be read or written, if already known
    threshold: float | None = None  # of the detection that makes this mask; None: it is a file

    @property
    def full_stem(self) -> str:
        """The stem with the suffix, `a_jpg`, which distinguishes `a.jpg` from `a.png`."""
        suffix = "" if self.path is None else self.path.suffix
        return "_".join([self.stem, *suffix.split(".")[1:]])

    def read(self, about: About = lambda name, text: None) -> Decoded:
        """Read the image; CaflowError (exit 1) if that fails."""
        if self.problem is not None:
            raise self.problem
        ensure(
            self.path is not None or sys.stdin is not None,
            "stdin is closed",
            "cat FILE | caflow … -",
        )
        name = "stdin" if self.path is None else self.name
        image = decode(self.path or sys.stdin.buffer, name=name)
        if image.frames > 1:
            about(self.name, "only the first of its frames is used")
        return image

    def check(self) -> Header | None:
        """Read the header; None for a mask of detected damage, and for stdin, which is read once.

        CaflowError (exit 1) if that fails, or if a problem is already known.
        """
        if self.problem is not None:
            raise self.problem
        if self.path is None or self.threshold is not None:
            return None
        return read_header(self.path, self.name)


def find_inputs(
    arguments: Sequence[str],
    *,
    recursive: bool = False,
    aside: Collection[Path] = (),
    note: Note = lambda _: None,
    detail: Note = lambda _: None,
) -> list[InputImage]:
    """Find the images that arguments name, without duplicates, in order; `img2` before `img10`.

    Args:
        arguments: As typed.
        recursive: Also search subfolders.
        aside: Folders and files of results and masks, which are ignored in folders.
        note: Receives a message on how many files and folders in a folder were ignored.
        detail: Receives their names.

    Raises:
        CaflowError: (exit 2) an argument names no example or matches no file, or all are folders
            without images.
    """
    sources: list[InputImage] = []
    hidden = {os.path.realpath(path) for path in aside}
    for argument in arguments:
        names = [argument]
        if _is_glob(argument):  # `Path.glob` rejects absolute patterns
            names = sorted(glob.glob(argument, recursive=True), key=_natural_key)  # noqa: PTH207
        check_usage(bool(names), f"no file matches {argument!r}", "check the pattern")
        for name in names:
            path = Path(name)
            if is_folder(name):
                sources += _search(path, recursive, hidden, note, detail)
            elif name == "-":
                sources.append(InputImage(name, None, "stdin"))
            elif name.startswith(_EXAMPLE):
                path = example_path(name.removeprefix(_EXAMPLE))
                sources.append(InputImage(name, path, path.stem))
            else:
                check_usage(bool(path.name), f"{name!r} is not an image", "give image files")
                sources.append(InputImage(name, path, path.stem, path.parent))
    first = sources[0].problem
    if first is not None and all(source.problem and not source.found for source in sources):
        raise usage_error(first.message, first.hint)  # all of them are folders without images
    unique: dict[str, InputImage] = {}
    for source in sources:
        key = str(source.path.absolute()) if source.path else source.name
        unique.setdefault(key, source)
    return list(unique.values())


def without_results(sources: Sequence[InputImage], command: str) -> list[InputImage]:
    """Drop earlier results: sources found in a folder beside the image they were made from.

    Results are masks, hints and what the command itself writes: `face_mask`, `face_hints`,
    `face_COMMAND_01` and `face_COMMAND_low`.
    """
    inputs = {(source.folder, source.stem) for source in sources}
    inputs |= {(source.folder, source.full_stem) for source in sources}
    result = re.compile(rf"(.+)_(mask|hints|{command}(_(\d+|low|high))?)")
    kept = []
    for source in sources:
        match = result.fullmatch(source.stem)
        if not (source.found and match and (source.folder, match[1]) in inputs):
            kept.append(source)
    return kept


def names_one(arguments: Sequence[str]) -> bool:
    """Whether arguments can name only a single image: no folder, no glob."""
    return len(arguments) == 1 and not is_folder(arguments[0]) and not _is_glob(arguments[0])


def _natural_key(text: str) -> tuple[list[str | int], str]:
    parts: list[str | int] = list(re.split(r"(\d+)", text.casefold()))
    parts[1::2] = map(int, parts[1::2])
    return parts, text


def _is_glob(argument: str) -> bool:
    return glob.has_magic(argument) and not os.path.lexists(argument)


def _search(
    root: Path, recursive: bool, hidden: Collection[str], note: Note, detail: Note
) -> list[InputImage]:
    """The images in a folder, then those in its subfolders; links to folders are not followed."""
    found: list[InputImage] = []
    left_out: dict[str, list[Path]] = defaultdict(list)
    top = Path(os.path.realpath(root))

    def take(path: Path, problem: CaflowError | None = None) -> None:
        inside = path.parent.relative_to(root)
        found.append(InputImage(str(path), path, path.stem, path.parent, inside, True, problem))

    def fail(error: OSError) -> None:
        message = f"cannot search {str(error.filename)!r}: {error.strerror}"
        take(Path(error.filename, "*"), CaflowError(message, "check its permissions"))

    def seen(folder: str, names: list[str]) -> list[Path]:
        shown = sorted((name for name in names if name[0] != "."), key=_natural_key)
        paths = [Path(folder, name) for name in shown]
        return [path for path in paths if str(top / path.relative_to(root)) not in hidden]

    for folder, folders, files in os.walk(root, onerror=fail):
        inner = seen(folder, folders)
        folders[:] = [path.name for path in inner if recursive and not path.is_symlink()]
        left_out["folders"] += [path for path in inner if path.name not in folders]
        for path in seen(folder, files):
            # Keep broken links, to report them. Ignore pipes: reading one would block.
            if path.suffix.lower() in _TAKEN and (is_file(path) or not exists(path)):
                take(path)
            else:
                left_out["files of other kinds"].append(path)
    if not found:
        hint = "-r searches subfolders, too" if left_out["folders"] else "give image files"
        problem = CaflowError(f"no images in the folder {str(root)!r}", hint)
        return [InputImage(str(root), root, root.name, problem=problem)]
    for what, paths in left_out.items():
        if paths:
            more = " (see -r)" if what == "folders" else ""
            note(f"{root}: {what} left out: {len(paths)}{more}")
        for path in paths:
            detail(f"{path}: left out")
    return found


def find_shard(typed: str | None, console: Console, together: Mapping[str, bool]) -> slice:
    """The share of all inputs given by `--shard K/N`, or else by a launcher.

    CaflowError (exit 2) if there is no such share, or if an option in `together` is used, because
    these need all inputs in one process.
    """
    rank = os.environ.get("RANK", "")
    world = os.environ.get("WORLD_SIZE", "")
    if typed is None and rank.isdecimal() and world.isdecimal() and world != "1":
        typed = f"{int(rank) + 1}/{world}"
        console.note(f"--shard {typed}, from RANK and WORLD_SIZE")
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", "1/1" if typed is None else typed)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise usage_error(f"--shard is {typed!r}", "--shard 1/4 to --shard 4/4, for four processes")
    for what, wanted in together.items():
        check_usage(
            int(match[2]) == 1 or not wanted,
            f"{what} needs all inputs in one process, not shard {match[0]}",
            f"--shard 1/1, or no {what}",
        )
    return slice(int(match[1]) - 1, None, int(match[2]))
