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
from ..paths import exists, is_file
from ..tasks import Picture

__all__ = ["PictureSet", "by_stem", "common_names", "file_reader", "open_pictures"]


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Pictures at a path, and how to read each."""

    where: str
    readers: dict[str, Callable[[], Picture]]  # by name: the path in the set, without suffix


def open_pictures(stack: ExitStack, path: Path, paired: bool) -> PictureSet:
    """Open a folder, a zip or one picture. Nothing is decoded yet.

    Raises:
        CaflowError: (exit 2) there are no pictures, or, with `paired`, two have one name.
    """
    if not exists(path):
        raise CaflowError(
            f"no pictures at {str(path)!r}", "give a folder, a zip or a picture", EXIT_USAGE
        )
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


def common_names(a: PictureSet, b: PictureSet) -> list[str]:
    """The names of both sets; CaflowError unless they are the same."""
    if len(a.readers) == len(b.readers) == 1:
        (name,), (other,) = a.readers, b.readers
        if name != other:
            b.readers[name] = b.readers.pop(other)
        return [name]
    alone = [
        f"{one.where}/{name}"
        for one, other in ((a, b), (b, a))
        for name in sorted(one.readers.keys() - other.readers.keys())
    ]
    if alone:
        more = f", and {len(alone) - 3} more" if len(alone) > 3 else ""
        raise CaflowError(
            f"{len(alone)} pictures without their pair: {', '.join(alone[:3])}{more}",
            "give both folders the same names, whatever the suffix, or --metric fid",
            EXIT_USAGE,
        )
    return sorted(a.readers)


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
