"""Zips of pictures, read in memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import EXIT_USAGE, CaflowError
from .files import PictureFiles, is_picture, leads_out, reading
from .member import read_member

__all__ = ["open_zip"]


@contextmanager
def open_zip(path: Path) -> Iterator[PictureFiles]:
    """Open a zip.

    Raises:
        CaflowError: (exit 2) it is none, is encrypted, or has a member whose path leads out of it.
    """
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # of a broken file: it raises whatever that leads it to
        raise CaflowError(
            f"{str(path)!r} is neither a folder nor a readable zip",
            "--data FOLDER or --data FILE.zip",
            EXIT_USAGE,
        ) from error
    with archive:
        entries = [e for e in archive.infolist() if is_picture(e.filename) and not e.is_dir()]
        if any(entry.flag_bits & 1 for entry in entries):
            raise CaflowError(
                f"{str(path)!r} is encrypted", "unpack it and give the folder", EXIT_USAGE
            )
        for entry in entries:
            # Results are written under the names of what they were made from.
            if leads_out(entry.filename):
                raise CaflowError(
                    f"{str(path)!r} has a member {entry.filename!r}, whose path leads out of it",
                    "unpack it with care, and give the folder",
                    EXIT_USAGE,
                )
        yield PictureFiles(
            str(path),
            list({entry.filename: None for entry in entries}),
            lambda m: reading(lambda name: read_member(archive, name), m),
            lambda m: str(archive.getinfo(m).CRC),
            lambda m: archive.getinfo(m).file_size,
        )
