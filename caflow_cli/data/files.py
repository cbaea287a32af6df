"""Data sets that are folders or zips of image files."""

import os
import zipfile
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ..errors import check_usage, ensure, usage_error
from ..fields import FIELD_FORMATS
from ..images import MAX_BYTES, SUFFIXES
from .split import ImageFiles, leads_out

_OF_RUN = {"config.toml", "metrics.jsonl"}  # files in the folder of a training run


def is_image(member: str) -> bool:
    return _ends(member, SUFFIXES)


def is_field(member: str) -> bool:
    return _ends(member, FIELD_FORMATS)


def _ends(member: str, suffixes: Collection[str]) -> bool:
    path = PurePosixPath(member)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in suffixes and not hidden


def open_folder(path: Path, wanted: Callable[[str], bool] = is_image) -> ImageFiles:
    """Open a folder with its subfolders, ignoring hidden files and training runs."""
    return ImageFiles(str(path), walk(path, wanted), lambda member: read_file(path / member))


def walk(root: Path, wanted: Callable[[str], bool]) -> list[str]:
    """The paths of a folder's files that are `wanted`, relative to it, each folder read once."""
    paths = []
    visited: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        # Reached again through a link, or the plots and samples of a training run.
        if real in visited or _OF_RUN.issubset(files):
            folders.clear()
            continue
        visited.add(real)
        inside = Path(folder).relative_to(root)
        for file in files:
            path = (inside / file).as_posix()
            if wanted(path):
                paths.append(path)
    return paths


@contextmanager
def open_zip(path: Path, wanted: Callable[[str], bool] = is_image) -> Iterator[ImageFiles]:
    """Open a zip, whose members are unpacked in memory.

    Raises:
        CaflowError: (exit 2) it is not a zip, is encrypted or has an unusual compression, or has a
            member whose path leads out of it.
    """
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # a broken file may cause errors of any kind
        raise usage_error(
            f"{str(path)!r} is neither a folder nor a readable zip",
            "--data FOLDER or --data FILE.zip",
        ) from error
    with archive:
        members: dict[str, None] = {}  # in order; a name may occur twice
        for entry in archive.infolist():
            name = entry.filename
            if name.endswith("/") or not wanted(name):  # `is_dir` fails without a name
                continue
            # Results get the names of their inputs, hence no paths that lead out. `zipfile` unpacks
            # other compressions all at once, possibly from a kilobyte to a gigabyte.
            check_usage(
                not leads_out(name)
                and entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
                and not entry.flag_bits & 1,
                f"{str(path)!r} has a member {name!r} whose path leads out of it, or that is "
                "encrypted, or not compressed by deflate",
                "unpack it with care, and use the folder",
            )
            members[name] = None
        yield ImageFiles(str(path), list(members), lambda member: _unpack(archive, member))


def read_file(path: Path) -> bytes:
    """Read a file, up to one byte above the limit for images, which decoding then rejects."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _unpack(archive: zipfile.ZipFile, name: str) -> bytes:
    """Unpack a member in bounded memory, because a zip may be a decompression bomb."""
    info = archive.getinfo(name)
    ensure(
        info.file_size <= MAX_BYTES,
        f"{name!r} has more than {MAX_BYTES >> 20} MiB",
        "crop or shrink the image first",
    )
    with archive.open(info) as file:
        # `read()` would unpack everything, even beyond the size in the zip's directory.
        return b"".join(iter(lambda: file.read(info.file_size + 1), b""))
