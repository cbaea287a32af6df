"""Find the images that arguments name: files, folders, globs, stdin, examples; and shards."""

from __future__ import annotations

import glob
import io
import os
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ..assets import EXAMPLE, named_path
from ..errors import check_usage
from ..images import SUFFIXES, Input, decode, read_source
from ..names import COMPANIONS, INFRARED, MARKS, make, parse
from ..paths import exists, is_file, is_folder
from .options import parsed_shard

if TYPE_CHECKING:
    from ..images.ranges import Range
    from .console import Console
    from .reading import Reading

Note = Callable[[str], object]  # receives messages for the user
About = Callable[..., object]  # receives the name of an image, a message on it, and its kind

# Suffixes of files taken from folders. A file that is named is taken whatever its suffix.
IMAGES = SUFFIXES | {".gif", ".apng", ".jfif", ".dib", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2"}


@dataclass(frozen=True)
class InputImage:
    """One image to read."""

    name: str  # for messages and JSON: as typed, or the path found in a folder
    path: Path | None  # None: stdin
    stem: str  # the first part of the names of its results
    folder: Path = Path()  # where its results go, unless the user names a folder
    inside: Path = Path()  # subfolder for its results in the folder that the user names
    found: bool = False  # whether it was found in a folder, rather than named

    @property
    def full_stem(self) -> str:
        """The stem with the suffix, `a_jpg`, which distinguishes `a.jpg` from `a.png`."""
        return make(self.stem, self.suffix.removeprefix("."))

    @property
    def suffix(self) -> str:
        """That of the file; empty for stdin."""
        return "" if self.path is None else self.path.suffix

    @property
    def missing(self) -> bool:
        """Whether there is no such file."""
        return self.path is not None and not os.path.lexists(self.path)

    @cached_property
    def content(self) -> bytes:
        """What stdin holds, which can be read only once."""
        return read_source(sys.stdin.buffer, "stdin")[0]

    @property
    def holds_field(self) -> bool:
        """Whether it is a measured field, as its content says."""
        if self.path is not None and self.suffix.lower() in SUFFIXES - {".tif", ".tiff"}:
            return False
        from ..fields import holds_field

        return holds_field(self.content if self.path is None else self.path)

    def field_format(self, of_fields: bool) -> str | None:
        """The format of a measured field; None for images."""
        if not (of_fields or self.holds_field):
            return None
        from ..fields import FIELD_FORMATS, format_of_content

        named = FIELD_FORMATS.get(self.suffix.lower(), "tiff")
        return named if self.path is not None else format_of_content(self.content)

    def read(
        self,
        about: About = lambda name, text, kind="": None,
        alpha: bool | None = None,
        infrared: bool = False,
        value_range: Range | None = None,
    ) -> Input:
        """Read the image; `alpha`, `infrared` and `value_range` are as for `decode`.

        CaflowError (exit 1) if that fails.
        """
        source = io.BytesIO(self.content) if self.path is None else self.path
        image = decode(source, self.label, alpha, infrared, value_range)
        if image.note:
            about(self.name, image.note, "16 bits that are nearly black")
        if image.frames > 1:
            more = " and infrared are" if image.tiff and image.tiff.infrared_page else " is"
            about(self.name, f"only the first of its frames{more} used")
        return image

    def read_members(self, how: Reading) -> list[Input]:
        """Read the bands of a measured field; CaflowError (exit 1) if that fails."""
        from ..fields import read_members

        source = io.BytesIO(self.content) if self.path is None else self.path
        return read_members(source, name=self.label, **how.keywords)

    def read_field(self, how: Reading) -> Input:
        """Read the measured field; CaflowError (exit 1) if that fails, or there are several."""
        from ..fields import read_field

        source = io.BytesIO(self.content) if self.path is None else self.path
        return read_field(source, name=self.label, **how.keywords)

    @property
    def label(self) -> str:
        """Its name in errors."""
        return "stdin" if self.path is None else self.name


def find_inputs(
    arguments: Sequence[str],
    recursive: bool = False,
    aside: Collection[str | Path] = (),
    note: Note = lambda _: None,
    taken: Collection[str] = IMAGES,
) -> list[InputImage]:
    """Find the images that arguments name, without duplicates, in order; `img2` before `img10`.

    Args:
        arguments: As typed.
        recursive: Also search subfolders.
        aside: Folders and files of results and masks, which are ignored in folders.
        note: Receives a message on how many files and folders in a folder were ignored.
        taken: The suffixes of files in folders.

    Raises:
        CaflowError: (exit 2) an argument names no example, matches no file, or is a folder without
            such files.
    """
    sources: list[InputImage] = []
    for argument in arguments:
        is_pattern = glob.has_magic(argument) and not os.path.lexists(argument)
        for name in _matching(argument) if is_pattern else [argument]:
            if is_folder(name):
                sources += _search(Path(name), recursive, aside, note, taken)
            elif name == "-":
                sources.append(InputImage(name, None, "stdin"))
            else:
                check_usage(name != "", "'' is not an image", "give image files")
                path = named_path(name)
                folder = Path() if name.startswith(EXAMPLE) else path.parent
                sources.append(InputImage(name, path, path.stem, folder))
    unique: dict[object, InputImage] = {}
    for source in sources:
        unique.setdefault(source.path and source.path.absolute(), source)
    return list(unique.values())


def _matching(pattern: str) -> list[str]:
    """The names of files and folders that match a pattern; CaflowError (exit 2) if none does."""
    # `Path.glob` rejects absolute patterns.
    names = sorted(glob.glob(pattern, recursive=True), key=_natural_key)  # noqa: PTH207
    check_usage(bool(names), f"no file matches {pattern!r}", "check the pattern")
    return names


def without_others(
    sources: Sequence[InputImage], commands: Collection[str], used: Mapping[str, str] | None = None
) -> list[InputImage]:
    """Drop what belongs to another source: earlier results, companions and infrared channels.

    In a folder that is searched, these are companions and what `commands` write, beside the image
    they were made from: `face_mask`, `face_COMMAND_01` and `face_COMMAND_low`. The infrared channel
    `NAME_IR.tif`, and the files and folders in `used`, by kind of companion, are dropped even if
    the arguments name them, too.
    """
    used = used or {}
    read = {os.path.realpath(name) for name in used.values()}
    inputs = {(source.folder, source.stem) for source in sources}
    inputs |= {(source.folder, source.full_stem) for source in sources}
    kept = []
    for source in sources:
        name = parse(source.stem)
        kinds = {*used, *(INFRARED if source.suffix == ".tif" else ())}
        kinds |= {*COMPANIONS, MARKS, *commands} if source.found else set()
        belongs = name.kind in kinds and (source.folder, name.source) in inputs
        is_read = source.path is not None and os.path.realpath(source.path) in read
        if not (belongs or is_read):
            kept.append(source)
    return kept


def _natural_key(text: str) -> tuple[list[str | int], str]:
    parts: list[str | int] = list(re.split(r"(\d+)", text.casefold()))
    parts[1::2] = map(int, parts[1::2])
    return parts, text


def _search(
    root: Path, recursive: bool, aside: Collection[str | Path], note: Note, taken: Collection[str]
) -> list[InputImage]:
    """The images in a folder, then those in its subfolders; links to folders are not followed."""
    hidden = {Path(os.path.realpath(path)) for path in aside}
    found: list[Path] = []
    other_files = 0
    other_folders = 0

    def fail(error: OSError) -> None:  # reading this path says why
        found.append(Path(error.filename, "*"))

    for folder, folders, files in os.walk(root, onerror=fail):
        paths = _visible(folder, files, hidden)
        images = [path for path in paths if _is_taken(path, taken)]
        inner = _visible(folder, folders, hidden)
        folders[:] = [path.name for path in inner if recursive and not path.is_symlink()]
        found += images
        other_files += len(paths) - len(images)
        other_folders += len(inner) - len(folders)
    what = "image" if ".png" in taken else "field"
    hint = "-r searches subfolders, too" if other_folders else f"give {what} files"
    check_usage(bool(found), f"no {what}s in the folder {str(root)!r}", hint)
    if other_folders:
        note(f"{root}: folders left out: {other_folders} (see -r)")
    if other_files:
        note(f"{root}: files of other kinds left out: {other_files}")
    return [
        InputImage(str(path), path, path.stem, path.parent, path.parent.relative_to(root), True)
        for path in found
    ]


def _visible(folder: str, names: Sequence[str], hidden: Collection[Path]) -> list[Path]:
    """The files or folders with these names, in order, but for hidden ones."""
    real = Path(os.path.realpath(folder))
    shown = [name for name in names if name[0] != "." and real / name not in hidden]
    return [Path(folder, name) for name in sorted(shown, key=_natural_key)]


def _is_taken(path: Path, taken: Collection[str]) -> bool:
    """Broken links are taken, to be reported. Pipes are not: reading one would block."""
    return path.suffix.lower() in taken and (is_file(path) or not exists(path))


def find_shard(given: slice | None, console: Console) -> slice:
    """The share of all inputs: that of `--shard`, or else of a launcher, or else all.

    CaflowError (exit 2) if a launcher's share does not exist.
    """
    if given is None and os.environ.get("WORLD_SIZE", "1") != "1":
        given = _of_launcher(console)
    return given or slice(0, None, 1)


def _of_launcher(console: Console) -> slice | None:
    """The share that the environment gives."""
    rank = os.environ.get("RANK", "")
    world = os.environ["WORLD_SIZE"]
    if not (rank.isdecimal() and world.isdecimal()):
        return None
    share = f"{int(rank) + 1}/{world}"
    console.note(f"--shard {share}, from RANK and WORLD_SIZE")
    return parsed_shard(share)
