"""Folders and zips of images."""

from __future__ import annotations

import bz2
import copy
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from ..errors import CaflowError, usage_error
from ..images import MAX_BYTES, SUFFIXES
from .split import ImageFiles, leads_out

__all__ = ["is_image", "open_folder", "open_zip", "read_file", "walk"]

_PIECE = 4096  # bytes; `zipfile` unpacks all of so many by LZMA at once, to 30 MB at most


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
        CaflowError: (exit 2) it is none, is encrypted, or has a member whose path leads out of it.
    """
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # a broken file leads it to errors of any kind
        message = f"{str(path)!r} is neither a folder nor a readable zip"
        raise usage_error(message, "--data FOLDER or --data FILE.zip") from error
    with archive:
        entries = [e for e in archive.infolist() if is_image(e.filename) and not e.is_dir()]
        for entry in entries:
            if entry.flag_bits & 1:
                raise usage_error(f"{str(path)!r} is encrypted", "unpack it and give the folder")
            # Results are written under the names of their inputs.
            if leads_out(entry.filename):
                raise usage_error(
                    f"{str(path)!r} has a member {entry.filename!r}, whose path leads out of it",
                    "unpack it with care, and give the folder",
                )
        members = list(dict.fromkeys(entry.filename for entry in entries))
        yield ImageFiles(str(path), members, lambda member: _unpack(archive, member))


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
    if info.compress_type != zipfile.ZIP_BZIP2:
        with archive.open(info) as file:
            # `read()` would unpack everything, whatever the directory states.
            piece = _PIECE if info.compress_type == zipfile.ZIP_LZMA else info.file_size + 1
            return b"".join(iter(lambda: file.read(piece), b""))
    # `zipfile` unpacks bzip2 all at once, perhaps a kilobyte to a gigabyte.
    packed = copy.copy(info)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, info.compress_size
    del packed.CRC  # that of the unpacked data
    with archive.open(packed) as file, bz2.BZ2File(file) as unpacked:
        data = unpacked.read(info.file_size + 1)
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise zipfile.BadZipFile("its data contradicts the directory")
    return data
