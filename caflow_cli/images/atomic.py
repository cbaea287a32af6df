"""Atomic writing: a file appears whole, or not at all."""

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..errors import CaflowError

if sys.platform != "win32":
    import fcntl

_cleaned: set[Path] = set()  # folders whose leftovers this process has removed


def make_folder(path: Path) -> None:
    """Create a folder and its parents; CaflowError if that fails."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CaflowError(
            f"cannot create the folder {str(path)!r}: {error.strerror}", "choose another -o"
        ) from error


def atomic_write(path: Path, data: bytes, *, replace: bool = True) -> None:
    """Write a file so that readers see the old file or the whole new one, also after a crash.

    A temporary file in the same folder is written, synced and renamed. It is removed on any error;
    after a `kill -9`, the next process that writes into the folder removes it. The mode follows
    the umask. Links are followed; devices and pipes are written directly.

    Args:
        replace: Whether an existing file may be replaced. If not, a file that another program
            creates in the meantime is kept. (On a file system without hard links there is a race
            between check and rename.)

    Raises:
        CaflowError: (exit 1) the path cannot be written, or exists and must not be replaced.
    """
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        if target.parent not in _cleaned:
            _cleaned.add(target.parent)
            remove_leftovers(target.parent)
        while not _write_and_rename(target, data, replace):
            pass
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError | ValueError) -> CaflowError:
    """The error for a file that cannot be written."""
    if isinstance(error, FileExistsError):
        message = f"{str(path)!r} was created by another program in the meantime"
        return CaflowError(message, "add --overwrite")
    missing = isinstance(error, FileNotFoundError)
    return CaflowError(
        f"cannot write {str(path)!r}: {getattr(error, 'strerror', None) or error}",
        f"mkdir -p {path.parent}" if missing else "choose another output path",
    )


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that killed processes left in a folder.

    A living process holds a lock on its temporary file. Where such locks do not exist (Windows,
    some network shares), leftovers stay.
    """
    for path in folder.glob(".caflow-*.tmp"):
        with suppress(OSError), path.open("rb") as file:
            if _lock(file.fileno()):
                path.unlink()


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Lock a folder against other processes, which wait. The lock ends with its process.

    Where folders cannot be locked (Windows, some network shares), there is no waiting.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            _lock(descriptor, wait=True)
        yield


def _write_and_rename(target: Path, data: bytes, replace: bool) -> bool:
    """Return False if another process removed the temporary file before it was locked."""
    temporary = target.parent / f".caflow-{secrets.token_hex(6)}.tmp"
    try:
        with temporary.open("xb") as file:  # `tempfile` would give the file mode 0600
            if _lock(file.fileno()) is False or not os.fstat(file.fileno()).st_nlink:
                return False
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            if sys.platform == "win32":
                file.close()  # Windows cannot rename an open file
            if replace:
                temporary.replace(target)
            else:
                _rename_to_new(temporary, target)
            return True
    finally:  # also after an interrupt right after the file was created
        temporary.unlink(missing_ok=True)


def _rename_to_new(temporary: Path, target: Path) -> None:
    """Rename, but never over an existing file: FileExistsError."""
    try:
        os.link(temporary, target)
    except OSError as error:  # no hard links: FAT, some network shares
        if target.exists():
            raise FileExistsError(target) from error
        temporary.replace(target)


def _lock(descriptor: int, wait: bool = False) -> bool | None:
    """Lock a file until it is closed. False if another process has it; None if unsupported."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
