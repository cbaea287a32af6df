"""Members of a zip, unpacked in bounded memory, because a zip may be a decompression bomb."""

from __future__ import annotations

import bz2
import copy
import zipfile
import zlib

from ..errors import CaflowError
from ..images import MAX_BYTES

__all__ = ["read_member"]

_PIECE = 4096  # bytes; `zipfile` unpacks all of so many by LZMA at once, to 30 MB at most


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read all bytes of a member.

    Raises:
        CaflowError: The zip states more bytes for it than a picture may have.
        Exception: Any error that `zipfile` raises for a broken member.
    """
    info = archive.getinfo(name)
    if info.file_size > MAX_BYTES:
        raise CaflowError(
            f"{name!r} has more than {MAX_BYTES >> 20} MiB", "crop or shrink the picture first"
        )
    if info.compress_type == zipfile.ZIP_BZIP2:
        return _read_bzip2(archive, info)
    with archive.open(info) as file:
        # `read()` would unpack all that there is, whatever the directory says.
        piece = _PIECE if info.compress_type == zipfile.ZIP_LZMA else info.file_size + 1
        return b"".join(iter(lambda: file.read(piece), b""))


def _read_bzip2(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Unpack in parts: `zipfile` unpacks all at once, perhaps a kilobyte to a gigabyte."""
    packed = copy.copy(info)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, info.compress_size
    del packed.CRC  # that of the unpacked
    with archive.open(packed) as file, bz2.BZ2File(file) as unpacked:
        data = unpacked.read(info.file_size + 1)
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise zipfile.BadZipFile("it is not what the directory says")
    return data
