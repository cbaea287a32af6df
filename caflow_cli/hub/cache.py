"""The cache of the Hub's client: the files of a repository, and their stated digests.

The client keeps `snapshots/COMMIT/FILE`, which are links to `blobs/ETAG`, and `refs/BRANCH`, which
holds the last known commit of a branch. Beside these, `.caflow/COMMIT/FILE.sha256` holds the digest
that the Hub stated, in the form that `sha256sum` writes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import EXIT_WEIGHTS, CaflowError
from ..paths import sha256_of

__all__ = [
    "CachedFile",
    "HubFile",
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
class HubFile:
    """A file of a Hub repository."""

    repo: str
    revision: str | None = None  # branch, tag or commit; None: the main branch
    filename: str = "model.safetensors"
    sha256: str | None = None  # what it must be, where a manifest says so

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"

    @property
    def is_pinned(self) -> bool:
        """Whether the content can never change."""
        return self.sha256 is not None or _COMMIT.fullmatch(self.revision or "") is not None


@dataclass(frozen=True)
class CachedFile:
    """A file in the cache with the stated digest."""

    path: Path
    sha256: str
    commit: str
    unreachable: str | None = None  # why the Hub could not be asked whether there is a newer one


def _storage(repo: str) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")


def blob_path(wanted: HubFile, sha256: str) -> Path:
    """The path of the content with that digest."""
    return _storage(wanted.repo) / "blobs" / sha256


def find(wanted: HubFile, commit: str | None = None) -> Path | None:
    """Find the cached file, at `commit` or else at the last known commit of its revision."""
    from huggingface_hub import try_to_load_from_cache

    revision = commit or wanted.revision
    path = try_to_load_from_cache(wanted.repo, wanted.filename, revision=revision)
    return Path(path) if isinstance(path, str) else None


def _commit(path: Path, wanted: HubFile) -> str:
    return path.parents[wanted.filename.count("/")].name


def _record_path(wanted: HubFile, commit: str) -> Path:
    return _storage(wanted.repo) / _RECORDS / commit / f"{wanted.filename}.sha256"


def record(wanted: HubFile, commit: str, sha256: str) -> None:
    """Record the digest that the Hub states for the file at that commit."""
    path = _record_path(wanted, commit)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    temporary.write_text(f"{sha256}  {wanted.filename}\n", encoding="utf-8")
    temporary.replace(path)


def stated(wanted: HubFile, path: Path) -> str | None:
    """The digest that the Hub stated for a cached file: the recorded one, else the blob's name."""
    try:
        first = _record_path(wanted, _commit(path, wanted)).read_text(encoding="utf-8").split()[0]
    except (OSError, ValueError, IndexError):
        first = path.resolve().name  # the client names large files by their sha256
    return first if _SHA256.fullmatch(first) else None


def check(wanted: HubFile, path: Path, unreachable: str | None = None) -> CachedFile:
    """Check the digest of a cached file, and return it.

    Raises:
        CaflowError: (exit 3) the digest differs, or none is known.
    """
    expected = stated(wanted, path)
    if expected is None:
        raise CaflowError(
            f"the digest of the cached {str(wanted)!r} is not known",
            f"caflow models pull {wanted}",
            EXIT_WEIGHTS,
        )
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise CaflowError(
            f"cannot read the cached {str(wanted)!r}: {error.strerror}",
            f"caflow models pull {wanted}",
            EXIT_WEIGHTS,
        ) from error
    if digest != expected:
        raise CaflowError(
            f"the cached {str(wanted)!r} has sha256 {digest[:12]}…, expected {expected[:12]}…",
            f"caflow models pull {wanted}",
            EXIT_WEIGHTS,
        )
    return CachedFile(path, digest, _commit(path, wanted), unreachable)


def forget(path: Path) -> None:
    """Remove a cached file: the link and its target."""
    blob = path.resolve()
    path.unlink(missing_ok=True)
    if blob.parent.name == "blobs":
        blob.unlink(missing_ok=True)


def recorded() -> Iterator[tuple[HubFile, Path]]:
    """Every cached file with a recorded digest: the file at its commit, and its path."""
    from huggingface_hub import constants

    pattern = f"models--*--*/{_RECORDS}/*/*.sha256"
    for path in sorted(Path(constants.HF_HUB_CACHE).glob(pattern)):
        storage = path.parents[2]
        repo = "/".join(storage.name.split("--", 2)[1:])
        hub_file = HubFile(repo, path.parent.name, path.name.removesuffix(".sha256"))
        cached = find(hub_file)
        if cached is not None:  # `hf cache rm` removes snapshots of a repository one by one
            yield hub_file, cached
