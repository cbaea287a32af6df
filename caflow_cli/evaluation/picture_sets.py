"""Sets of pictures to be compared: folders, zips and single pictures, read one by one."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..data.opening import open_files
from ..errors import EXIT_USAGE, CaflowError
from ..images import SUFFIXES, read_image
from ..paths import exists, is_file, url_of, without_ending
from ..tasks import Picture

__all__ = ["PictureSet", "by_stem", "check_pictures", "file_reader", "matched", "open_pictures"]


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Pictures at a path, and how to read each."""

    where: str
    readers: dict[str, Callable[[], Picture]]  # by name: the path in the set, without suffix


def check_pictures(path: Path) -> None:
    """Refuse a path of nothing, before anything is opened. CaflowError (exit 2)."""
    if url := url_of(path):
        raise CaflowError(
            f"{url!r} is a URL, and pictures are read from files",
            f"curl -LO {url}, and give the folder, zip or picture",
            EXIT_USAGE,
        )
    if not exists(path):
        raise CaflowError(
            f"no pictures at {str(path)!r}", "give a folder, a zip or a picture", EXIT_USAGE
        )


def open_pictures(stack: ExitStack, path: Path, paired: bool) -> PictureSet:
    """Open a folder, a zip or one picture. Nothing is decoded yet.

    Raises:
        CaflowError: (exit 2) there are no pictures, or, with `paired`, two have one name.
    """
    check_pictures(path)
    if is_file(path) and path.suffix.lower() in SUFFIXES:
        return PictureSet(str(path), {path.stem: file_reader(path)})
    files = stack.enter_context(open_files(path))
    readers: dict[str, Callable[[], Picture]] = {}
    for member in sorted(files.members):
        name = str(PurePosixPath(member).with_suffix(""))
        if name in readers and paired:
            raise CaflowError(
                f"{str(path)!r} has two pictures {name!r} with different suffixes",
                "remove one of them",
                EXIT_USAGE,
            )
        readers[member if name in readers else name] = _member_reader(files.read, member)
    if not readers:
        raise CaflowError(
            f"no pictures in {str(path)!r}",
            f"give a folder or zip with {', '.join(sorted(SUFFIXES))} files",
            EXIT_USAGE,
        )
    return PictureSet(str(path), readers)


def file_reader(path: Path) -> Callable[[], Picture]:
    """A function that reads a picture file later."""
    return lambda: read_image(path)


def _member_reader(read: Callable[[str], bytes], member: str) -> Callable[[], Picture]:
    return lambda: read_image(io.BytesIO(read(member)), name=member)


def matched(made: PictureSet, true: PictureSet) -> dict[str, list[str]]:
    """The pictures of `made` that belong to each picture of `true`, by name.

    A name belongs to its like, or to that of which a command made it: `sub/x_superres_01` belongs
    to `sub/x`. Two single pictures belong together, whatever their names.

    Raises:
        CaflowError: (exit 2) pictures are without their pair, or inputs lie among their results.
    """
    if len(made.readers) == len(true.readers) == 1:
        return {name: list(made.readers) for name in true.readers}
    found: dict[str, list[str]] = {name: [] for name in true.readers}
    alone = []
    for name in sorted(made.readers):
        partner = name if name in found else _input_of(name)
        if partner in found:
            found[partner].append(name)
        else:
            alone.append(f"{made.where}/{name}")
    for name, results in found.items():
        if name in results and len(results) > 1:
            raise CaflowError(
                f"{made.where!r} has {name!r} beside {results[-1]!r}, which was made from it",
                "give a folder of results alone, as -o DIR/ makes it",
                EXIT_USAGE,
            )
    alone += [f"{true.where}/{name}" for name in sorted(found) if not found[name]]
    if alone:
        more = f", and {len(alone) - 3} more" if len(alone) > 3 else ""
        raise CaflowError(
            f"{len(alone)} pictures without their pair: {', '.join(alone[:3])}{more}",
            "give both folders the same names, whatever the suffix, or --metric fid",
            EXIT_USAGE,
        )
    return found


def _input_of(name: str) -> str:
    """The name of the input, within its folder, that a result's name names; "" for others."""
    path = PurePosixPath(name)
    stem = without_ending(path.name)
    return "" if stem is None else str(path.with_name(stem))


def by_stem(pictures: PictureSet) -> dict[str, Callable[[], Picture]]:
    """The readers by name without folder. CaflowError (exit 2) if two names are the same."""
    result: dict[str, Callable[[], Picture]] = {}
    for name, read in pictures.readers.items():
        stem = PurePosixPath(name).name
        if stem in result:
            raise CaflowError(
                f"{pictures.where!r} has two pictures {stem!r}, and inputs are matched by name",
                "give one folder of them as --reference",
                EXIT_USAGE,
            )
        result[stem] = read
    return result
