"""Files of a Hub repository, from the cache or downloaded into it, and always checked.

The client's own `hf_hub_download` starts from the beginning after a process was stopped, and does
not check what it received. Here the bytes go to `blobs/SHA256.incomplete`, which the next attempt
continues. The file becomes `blobs/SHA256` once it has that digest. The client then finds this blob
and links it like its own.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EXIT_WEIGHTS, CaflowError
from ..paths import sha256_of
from ..version import __version__
from .cache import CachedFile, HubFile, blob_path, check, find, forget, record, stated
from .client import FULL, LIBRARY, hub_errors, is_broken_connection, is_offline

__all__ = ["fetch"]

# What a broken connection may cost. The client's 10 MB are most of a small model.
_CHUNK = 1 << 16
_CONNECTIONS = 20  # for one file


def fetch(wanted: HubFile, *, repair: bool = False, local: bool = False) -> CachedFile:
    """Get the file, with the digest that the Hub (or the manifest) states.

    A cached file that cannot change, because it is at a commit or has a digest in the manifest,
    needs no request. For a branch, the Hub is asked for the newest commit. If it cannot be reached,
    the cached file is used.

    Args:
        wanted: The file.
        repair: Download a cached file again if its content has changed.
        local: Only look into the cache.

    Raises:
        CaflowError: (exit 3) there is no such repository, revision or file; there is no access;
            there is no network and nothing cached; the disk is full; or the digest differs.
    """
    with hub_errors(str(wanted)):
        path = find(wanted)
        if path is not None and wanted.sha256 not in (None, stated(wanted, path)):
            path = None  # whole, and other weights than the manifest's
        if path is not None and repair and not is_offline() and not _is_whole(wanted, path):
            forget(path)
            path = None
        if path is not None and (wanted.is_pinned or local or is_offline()):
            return check(wanted, path)
        if local:
            raise CaflowError(
                f"model {str(wanted)!r} is not in the cache",
                f"caflow models pull {wanted}",
                EXIT_WEIGHTS,
            )
        if is_offline():
            raise CaflowError(
                f"model {str(wanted)!r} is not in the cache, and HF_HUB_OFFLINE is set",
                f"HF_HUB_OFFLINE=0 caflow models pull {wanted}",
                EXIT_WEIGHTS,
            )
        try:
            with hub_errors(str(wanted)):
                remote = _ask(wanted)
        except CaflowError as error:
            if path is None:
                raise
            return check(wanted, path, unreachable=error.message)
        return _take(wanted, remote, path)


@dataclass(frozen=True)
class _Remote:
    """The Hub's present record of a file."""

    commit: str
    sha256: str
    size: int | None


def _ask(wanted: HubFile) -> _Remote:
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    found = get_hf_file_metadata(
        hf_hub_url(wanted.repo, wanted.filename, revision=wanted.revision),
        library_name=LIBRARY,
        library_version=__version__,
    )
    if found.commit_hash is None or found.etag is None or len(found.etag) != 64:
        raise CaflowError(
            f"the Hub states no sha256 for {wanted.filename!r} in {str(wanted)!r}",
            f"hf download {wanted.repo} {wanted.filename}, then --model FILE",
            EXIT_WEIGHTS,
        )
    if wanted.sha256 not in (None, found.etag):
        raise CaflowError(
            f"the Hub's {str(wanted)!r} has sha256 {found.etag[:12]}…, not the manifest's "
            f"{str(wanted.sha256)[:12]}…",
            "pip install --upgrade caflow-cli",
            EXIT_WEIGHTS,
        )
    return _Remote(found.commit_hash, found.etag, found.size)


def _take(wanted: HubFile, remote: _Remote, cached: Path | None) -> CachedFile:
    """Get the file at the commit that the Hub named; `cached` is the revision's cached file."""
    from huggingface_hub import hf_hub_download

    path = find(wanted, remote.commit)
    if path is None:
        _fill(wanted, remote)
    with suppress(OSError):  # a cache that is read-only can be used
        record(wanted, remote.commit, remote.sha256)
    if path is None or path != cached:
        # Links the blob, and notes what the branch points to.
        path = Path(
            hf_hub_download(
                wanted.repo,
                wanted.filename,
                revision=wanted.revision,
                library_name=LIBRARY,
                library_version=__version__,
            )
        )
    found = check(wanted, path)
    if found.commit != remote.commit:
        raise CaflowError(
            f"{str(wanted)!r} changed on the Hub while it was downloaded",
            f"caflow models pull {wanted}",
            EXIT_WEIGHTS,
        )
    return found


def _is_whole(wanted: HubFile, path: Path) -> bool:
    try:
        check(wanted, path)
    except CaflowError:
        return False
    return True


def _fill(wanted: HubFile, remote: _Remote) -> None:
    """Put the content into the cache, one process at a time."""
    from filelock import FileLock

    blob = blob_path(wanted, remote.sha256)
    storage = blob.parents[1]
    # The client's own lock.
    lock = storage.parent / ".locks" / storage.name / f"{blob.name}.lock"
    for folder in (blob.parent, lock.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        if blob.exists():
            return
        partial = blob.with_name(f"{blob.name}.incomplete")
        continued = _size(partial) > 0
        try:
            _complete(wanted, remote, partial)
            digest = sha256_of(partial)
            if digest != remote.sha256 and continued:  # the old part may be what is wrong
                partial.unlink()
                _complete(wanted, remote, partial)
                digest = sha256_of(partial)
        except OSError as error:
            if error.errno in FULL:
                partial.unlink(missing_ok=True)
            raise
        if digest != remote.sha256:
            partial.unlink()
            raise CaflowError(
                f"the download of {str(wanted)!r} has sha256 {digest[:12]}…, expected "
                f"{remote.sha256[:12]}…",
                f"caflow models pull {wanted}, or tell its owner",
                EXIT_WEIGHTS,
            )
        partial.replace(blob)


def _complete(wanted: HubFile, remote: _Remote, partial: Path) -> None:
    """Download the missing bytes, over several connections if needed, while each brings some."""
    for attempt in range(_CONNECTIONS):
        before = _size(partial)
        if remote.size is not None and before > remote.size:
            partial.unlink()
            before = 0
        try:
            _transfer(wanted, remote, partial, before)
            return
        except Exception as error:
            last = attempt == _CONNECTIONS - 1
            if last or not is_broken_connection(error) or _size(partial) <= before:
                raise
            time.sleep(1)


def _size(partial: Path) -> int:
    return partial.stat().st_size if partial.exists() else 0


def _transfer(wanted: HubFile, remote: _Remote, partial: Path, start: int) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    if remote.size is not None and remote.size - start > shutil.disk_usage(partial.parent).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(partial))
    with _small_chunks(), partial.open("ab") as file:
        http_get(
            # At the commit: a branch may move between two requests.
            hf_hub_url(wanted.repo, wanted.filename, revision=remote.commit),
            file,
            resume_size=start,
            headers=build_hf_headers(library_name=LIBRARY, library_version=__version__),
            expected_size=remote.size,
            displayed_filename=f"{wanted}: {wanted.filename}",
        )
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def _small_chunks() -> Iterator[None]:
    from huggingface_hub import constants

    module: Any = constants
    before = module.DOWNLOAD_CHUNK_SIZE
    module.DOWNLOAD_CHUNK_SIZE = min(before, _CHUNK)
    try:
        yield
    finally:
        module.DOWNLOAD_CHUNK_SIZE = before
