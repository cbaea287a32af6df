"""The Hub client's cache: what of a repository is there, and which digest it must have.

The client keeps `snapshots/COMMIT/FILE`, links to `blobs/ETAG`, and `refs/BRANCH`, the commit that
a branch pointed to. Beside these, `.caflow/COMMIT/FILE.sha256` holds the digest that the Hub
stated, in the form that `sha256sum` writes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import EXIT_WEIGHTS, CaflowError
from .digest import sha256_of

__all__ = [
    "HubFile",
    "Source",
    "blob_path",
    "check",
    "find",
    "forget",
    "record",
    "recorded",
    "stated",
]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_RECORDS = ".caflow"


@dataclass(frozen=True)
class Source:
    """A file of a Hub repository."""

    repo: str
    revision: str | None = None  # branch, tag or commit; None: the main branch
    filename: str = "model.safetensors"
    sha256: str | None = None  # what it must be, where a manifest says so

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"

    @property
    def is_pinned(self) -> bool:
        """Whether the file can never be another one."""
        return self.sha256 is not None or _COMMIT.fullmatch(self.revision or "") is not None


@dataclass(frozen=True)
class HubFile:
    """A file in the cache whose digest is the one that was stated."""

    path: Path
    sha256: str
    commit: str
    unreachable: str | None = None  # why the Hub could not be asked whether there is a newer one


def _storage(repo: str) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")


def blob_path(source: Source, sha256: str) -> Path:
    """Where the cache keeps the content with that digest."""
    return _storage(source.repo) / "blobs" / sha256


def find(source: Source, commit: str | None = None) -> Path | None:
    """The source's file in the cache, as of `commit` or else of what its revision last was."""
    from huggingface_hub import try_to_load_from_cache

    revision = commit or source.revision
    path = try_to_load_from_cache(source.repo, source.filename, revision=revision)
    return Path(path) if isinstance(path, str) else None


def _commit(path: Path, source: Source) -> str:
    return path.parents[source.filename.count("/")].name


def _record_path(source: Source, commit: str) -> Path:
    return _storage(source.repo) / _RECORDS / commit / f"{source.filename}.sha256"


def record(source: Source, commit: str, sha256: str) -> None:
    """Keep the digest that the Hub states for the file at that commit."""
    path = _record_path(source, commit)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(f"{sha256}  {source.filename}\n", encoding="utf-8")
    temporary.replace(path)


def stated(source: Source, path: Path) -> str | None:
    """The digest that the Hub stated for the cached file: the recorded one, or the blob's name."""
    try:
        first = _record_path(source, _commit(path, source)).read_text(encoding="utf-8").split()[0]
    except (OSError, ValueError, IndexError):
        first = path.resolve().name  # the client names large files by their sha256
    return first if _SHA256.fullmatch(first) else None


def check(source: Source, path: Path, unreachable: str | None = None) -> HubFile:
    """The cached file, if it is what the Hub said.

    Raises:
        CaflowError: (exit 3) It has another digest, or none is known.
    """
    expected = stated(source, path)
    if expected is None:
        raise CaflowError(
            f"no digest is known of the cached {str(source)!r}",
            f"caflow models pull {source}",
            EXIT_WEIGHTS,
        )
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise CaflowError(
            f"cannot read the cached {str(source)!r}: {error.strerror}",
            f"caflow models pull {source}",
            EXIT_WEIGHTS,
        ) from error
    if digest != expected:
        raise CaflowError(
            f"the cached {str(source)!r} has sha256 {digest[:12]}…, expected {expected[:12]}…",
            f"caflow models pull {source}",
            EXIT_WEIGHTS,
        )
    return HubFile(path, digest, _commit(path, source), unreachable)


def forget(path: Path) -> None:
    """Remove a cached file: the link, and what it leads to."""
    blob = path.resolve()
    path.unlink(missing_ok=True)
    if blob.parent.name == "blobs":
        blob.unlink(missing_ok=True)


def recorded() -> Iterator[tuple[Source, Path]]:
    """Every file in the cache with a recorded digest: its source, at its commit, and its path."""
    from huggingface_hub import constants

    pattern = f"models--*--*/{_RECORDS}/*/*.sha256"
    for path in sorted(Path(constants.HF_HUB_CACHE).glob(pattern)):
        storage = path.parents[2]
        repo = "/".join(storage.name.split("--", 2)[1:])
        source = Source(repo, path.parent.name, path.name.removesuffix(".sha256"))
        cached = find(source)
        if cached is not None:  # `hf cache rm` removes snapshots of a repository one by one
            yield source, cached
