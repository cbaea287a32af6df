"""Folders of pictures, and what lies in them instead of pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..images import MAX_BYTES
from .files import PictureFiles, is_picture, reading

__all__ = ["open_folder", "walk"]


def open_folder(path: Path) -> PictureFiles:
    """Open a folder, with its subfolders, without hidden files."""

    def stamp(member: str) -> str:
        status = (path / member).stat()
        return f"{status.st_size} {status.st_mtime_ns}"

    def read(member: str) -> bytes:
        with (path / member).open("rb") as file:
            return file.read(MAX_BYTES + 1)  # a byte too many: decoding refuses it then

    def size(member: str) -> int:
        with suppress(OSError):  # reading says it
            return (path / member).stat().st_size
        return 0

    members = walk(path, is_picture)
    return PictureFiles(str(path), members, lambda m: reading(read, m), stamp, size)


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
