"""Files that are there whole, or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from ..errors import CaflowError

__all__ = ["atomic_write", "make_folder"]

# A file system without hard links: FAT, some network shares, Android.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EACCES}


def make_folder(path: Path) -> None:
    """Create a folder and its parents. CaflowError where that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaflowError(
            f"cannot create the folder {str(path)!r}: {error.strerror}", "choose another -o"
        ) from error


def atomic_write(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write a file so that a reader, or a crash, sees the old one or all of the new one.

    A temporary file in the same folder is written, synced and renamed; it is removed on any error.
    The mode follows the umask. Links are followed; devices and pipes are written directly.

    Args:
        replace: Whether a file of that name may go. Without, one that another program has put there
            meanwhile stays (on a file system without hard links, but for an instant between look
            and rename).

    Raises:
        CaflowError: (exit 1) the path cannot be written, or exists and is not to be replaced.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            target.write_bytes(data)
        else:
            _write_and_rename(target, data, replace)
    except FileExistsError as error:
        raise CaflowError(
            f"{str(path)!r} has come into being meanwhile", "add --overwrite"
        ) from error
    except (OSError, ValueError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise CaflowError(
            f"cannot write {str(path)!r}: {getattr(error, 'strerror', None) or error}",
            f"mkdir -p {Path(path).parent}" if missing else "choose another output path",
        ) from error


def _write_and_rename(target: Path, data: bytes, replace: bool) -> None:
    # Opened by hand: `tempfile` would give the file mode 0600.
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(6)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(target)
        else:
            _rename_to_new(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _rename_to_new(temporary: Path, target: Path) -> None:
    """Rename, but never onto a file. FileExistsError where there is one."""
    if os.name == "nt":
        temporary.rename(target)  # refuses there
        return
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        temporary.replace(target)
    else:
        temporary.unlink()
