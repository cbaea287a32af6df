"""Folders and zips of images."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ..errors import CaflowError, check_usage, usage_error
from ..images import MAX_BYTES, SUFFIXES
from .split import ImageFiles, leads_out


def open_folder(path: Path) -> ImageFiles:
    """Open a folder, with its subfolders, without hidden files."""
    return ImageFiles(str(path), walk(path, is_image), lambda member: read_file(path / member))


def walk(root: Path, wanted: Callable[[str], bool]) -> list[str]:
    """The files under a folder. Links to folders are followed, each folder once."""
    found: list[str] = []
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        inside = Path(folder).relative_to(root)
        found += [p for file in files if wanted(p := (inside / file).as_posix())]
    return found


def is_image(member: str) -> bool:
    """Whether a path has the suffix of an image, and no part of it is hidden."""
    path = PurePosixPath(member)
    hidden = any(part.startswith(".") or part == "__MACOSX" for part in path.parts)
    return path.suffix.lower() in SUFFIXES and not hidden


@contextmanager
def open_zip(path: Path) -> Iterator[ImageFiles]:
    """Open a zip, which is read in memory.

    Raises:
        CaflowError: (exit 2) it is none, is encrypted or compressed in a rare way, or has a member
            whose path leads out of it.
    """
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # a broken file leads it to errors of any kind
        message = f"{str(path)!r} is neither a folder nor a readable zip"
        raise usage_error(message, "--data FOLDER or --data FILE.zip") from error
    with archive:
        infos = archive.infolist()
        entries = {e.filename: e for e in infos if is_image(e.filename) and not e.is_dir()}
        hint = "unpack it with care, and give the folder"
        for name, entry in entries.items():
            member = f"{str(path)!r} has a member {name!r}"
            # Results are written under the names of their inputs.
            check_usage(not leads_out(name), f"{member}, whose path leads out of it", hint)
            # `zipfile` unpacks other kinds all at once, perhaps a kilobyte to a gigabyte.
            known = entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            readable = known and not entry.flag_bits & 1
            check_usage(readable, f"{member} that is encrypted, or not compressed by deflate", hint)
        yield ImageFiles(str(path), list(entries), lambda member: _unpack(archive, member))


def read_file(path: Path) -> bytes:
    """Read a file, but of one that is too large for an image a byte too many: decoding refuses."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _unpack(archive: zipfile.ZipFile, name: str) -> bytes:
    """Unpack a member in bounded memory, because a zip may be a decompression bomb."""
    info = archive.getinfo(name)
    if info.file_size > MAX_BYTES:
        raise CaflowError(
            f"{name!r} has more than {MAX_BYTES >> 20} MiB", "crop or shrink the image first"
        )
    with archive.open(info) as file:
        # `read()` would unpack everything, whatever the directory states.
        return b"".join(iter(lambda: file.read(info.file_size + 1), b""))
