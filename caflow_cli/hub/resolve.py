"""Finding the file of a model: an id of the manifest, a file, a folder, a Hub repository."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ..errors import EXIT_WEIGHTS, CaflowError
from ..model import CheckpointInfo, read_info
from ..paths import exists, is_file, sha256_of
from .client import LIBRARY, hub_errors
from .manifest import Entry, bundled_path, load_manifest

if TYPE_CHECKING:
    from ..model import CAFlow

__all__ = [
    "Resolved",
    "check_name",
    "default_model",
    "describe",
    "load",
    "resolve",
    "verify",
]

WEIGHTS = "model.safetensors"  # as repositories and folders name it
_REPO = re.compile(r"(?P<repo>\w[\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Resolved:
    """A model's file and its identity."""

    id: str  # manifest id, Hub repository, or the file's name: never a local path
    path: Path
    sha256: str
    commit: str | None = None  # of its Hub repository
    unreachable: str | None = None  # why the Hub could not be asked for a newer one


def default_model(task: str) -> Entry:
    """The model that a task uses if none is named.

    Raises:
        CaflowError: (exit 3) there is none.
    """
    for entry in load_manifest().values():
        if entry.task == task and entry.default:
            return entry
    raise CaflowError(
        f"no bundled model for {task}", f"caflow train --task {task}, or --model FILE", EXIT_WEIGHTS
    )


def resolve(name: str, *, local: bool = False) -> Resolved:
    """Find a model's file, and check its sha256 if that is known.

    Args:
        name: An id of the manifest; a `.safetensors` file; a folder that holds `model.safetensors`
            or, for a run, `best.safetensors`; a Hub repository `user/name` or `user/name@revision`.
        local: Download nothing.

    Raises:
        CaflowError: There is no such model, or its checksum is wrong (exit code 3).
    """
    entries = load_manifest()
    if name in entries:
        return _of_manifest(entries[name], local)
    path = Path(name)
    try:
        if path.is_dir():
            for file in (path / WEIGHTS, path / "best.safetensors"):
                if is_file(file):
                    return Resolved(path.resolve().name, file, sha256_of(file))
            raise CaflowError(
                f"no model in the folder {name!r}", "caflow models list", EXIT_WEIGHTS
            )
        if path.is_file():
            return Resolved(path.name, path, sha256_of(path))
    except OSError as error:
        raise CaflowError(
            f"cannot read the model {name[:80]!r}: {error.strerror}",
            "check its name and permissions",
            EXIT_WEIGHTS,
        ) from error
    match = _of_hub(name)
    if match:
        return _from_hub(_HubFile(name, match["repo"], match["revision"]), local)
    raise _unknown(name, entries)


def check_name(name: str) -> None:
    """Refuse a name that matches no model, before a download: CaflowError (exit 3)."""
    entries = load_manifest()
    if name not in entries and not os.path.lexists(name) and not _of_hub(name):
        raise _unknown(name, entries)


def _of_hub(name: str) -> re.Match[str] | None:
    """The parts of a repository's name.

    None for a path that is wrong, which must not be sent over the network.
    """
    path = Path(name)
    if path.suffix == ".safetensors" or (path.parts and exists(path.parts[0])):
        return None
    return _REPO.fullmatch(name)


def _unknown(name: str, entries: Iterable[str]) -> CaflowError:
    near = difflib.get_close_matches(name, entries, n=1)
    hint = f"--model {near[0]}" if near else "caflow models list"
    return CaflowError(f"no model {name!r}", hint, EXIT_WEIGHTS)


def _of_manifest(entry: Entry, local: bool) -> Resolved:
    path = bundled_path(entry)
    if path is None:
        repo, name = str(entry.repo_id), entry.filename or WEIGHTS
        wanted = _HubFile(entry.id, repo, entry.revision, name, entry.sha256, entry.bytes)
        return _from_hub(wanted, local)
    digest = sha256_of(path)
    if digest != entry.sha256:
        raise _differs(entry.id, digest, entry.sha256, "pip install --force-reinstall caflow-cli")
    return Resolved(entry.id, path, digest)


def _differs(name: str, digest: str, wanted: str, hint: str) -> CaflowError:
    return CaflowError(
        f"the weights of {name!r} have sha256 {digest[:12]}…, expected {wanted[:12]}…",
        hint,
        EXIT_WEIGHTS,
    )


class _HubFile(NamedTuple):
    """A file of a Hub repository. The last two are those that a manifest states."""

    name: str  # as the user knows it
    repo: str
    revision: str | None  # branch, tag or commit; None: the main branch
    filename: str = WEIGHTS
    sha256: str | None = None
    size: int | None = None


def _from_hub(wanted: _HubFile, local: bool) -> Resolved:
    """Get a file from the Hub's cache, or into it, with the sha256 of the manifest or the Hub.

    A cached file that cannot change, because it is at a commit or has a digest in the manifest,
    needs no request. For a branch, the Hub is asked for the newest commit. If it cannot be reached,
    the cached file is used.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import OfflineModeIsEnabled

    name, repo, revision, filename, digest, _ = wanted
    with hub_errors(name):
        found = try_to_load_from_cache(repo, filename, revision=revision)
        path = Path(found) if isinstance(found, str) else None
    if path is not None and digest is not None and _stated(path) not in (None, digest):
        path = None  # whole, and other weights than the manifest's
    if path is None and local:
        pull = f"caflow models pull {name}"
        raise CaflowError(f"the model {name!r} is not in the cache", pull, EXIT_WEIGHTS)
    pinned, unreachable = digest is not None or _COMMIT.fullmatch(revision or ""), None

    def download(force: bool = False) -> Path:
        with hub_errors(name):
            return Path(
                hf_hub_download(repo, filename, revision=revision, force_download=force, **LIBRARY)
            )

    if path is None or not (pinned or local):
        try:
            digest = _ask(wanted)
        except CaflowError as error:
            if path is None:
                raise
            offline = isinstance(error.__cause__, OfflineModeIsEnabled)
            unreachable = None if offline else error.message
        else:
            path = download()
    # The cache names large files by their sha256. Where it cannot link, it holds none.
    digest = digest or _stated(path)
    actual = sha256_of(path)
    if digest is not None and actual != digest and not local:
        try:
            path = download(force=True)
            actual = sha256_of(path)
        except CaflowError as error:
            raise _differs(name, actual, digest, f"caflow models pull {name}") from error
    if digest is not None and actual != digest:
        raise _differs(name, actual, digest, f"caflow models pull {name}, or tell its owner")
    commit = path.parents[filename.count("/")].name  # snapshots/COMMIT/FILE
    return Resolved(name, path, actual, commit, unreachable)


def _stated(path: Path) -> str | None:
    """The sha256 that the Hub's cache has for a file: the name of what it links to."""
    name = path.resolve().name
    return name if _SHA256.fullmatch(name) else None


def _ask(wanted: _HubFile) -> str:
    """The sha256 that the Hub states for a file now, which must be the manifest's, as its size."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    name, repo, revision, filename, digest, size = wanted
    with hub_errors(name):
        found = get_hf_file_metadata(hf_hub_url(repo, filename, revision=revision), **LIBRARY)
    if found.etag is None or not _SHA256.fullmatch(found.etag):
        raise CaflowError(
            f"the Hub states no sha256 for {filename!r} in {name!r}",
            f"hf download {repo} {filename}, then --model FILE",
            EXIT_WEIGHTS,
        )
    if digest not in (None, found.etag):
        raise _differs(name, found.etag, str(digest), "pip install --upgrade caflow-cli")
    if size is not None and found.size is not None and size != found.size:
        raise CaflowError(
            f"the weights of {name!r} have {found.size} bytes, expected {size}",
            "pip install --upgrade caflow-cli",
            EXIT_WEIGHTS,
        )
    return found.etag


def load(name: str | Path | Resolved) -> CAFlow:
    """Load the model with that name (see `resolve`), in `eval()`, on the CPU.

    Examples:
        >>> import caflow_cli as caflow
        >>> model = caflow.load("faces-superres-x4")
        >>> model.config.task.name, model.config.task.factor
        ('superres', 4)
    """
    from ..model import CAFlow

    found = name if isinstance(name, Resolved) else resolve(str(name))
    model = CAFlow.load(found.path)
    model.identity = {"id": found.id, "sha256": found.sha256}
    return model


def describe(name: str) -> tuple[Resolved, CheckpointInfo, Entry | None, Path | None]:
    """A model's file, its header, the manifest's entry of the same content, and its card.

    Nothing is downloaded.

    Raises:
        CaflowError: (exit 3) there is no such model, its checksum is wrong, or it is not a caflow
            model.
    """
    found = resolve(name, local=True)
    info = read_info(found.path)
    entries = load_manifest().values()
    entry = next((e for e in entries if e.sha256 == found.sha256), None)
    beside = found.path.with_suffix(".md"), found.path.with_name("README.md")
    return found, info, entry, next((path for path in beside if path.is_file()), None)


def verify(names: Sequence[str] = ()) -> Iterator[tuple[str, Resolved | CaflowError]]:
    """Hash each model again, and compare its tensors with its config. Nothing is downloaded.

    Args:
        names: As for `resolve`. Without names: every bundled model, and every caflow model in the
            Hub's cache.

    Yields:
        A name, and the model's file or the error (exit 3).
    """
    from ..model import CAFlow
    from ..model.pretrained import without_values

    bundled = [entry.id for entry in load_manifest().values() if entry.file is not None]
    for name in names or [*bundled, *_cached()]:
        try:
            found = resolve(name, local=True)
            without_values(CAFlow, read_info(found.path), found.path)
        except CaflowError as error:
            yield name, error
        else:
            yield name, found


def _cached() -> list[str]:
    """The caflow models in the Hub's cache, as `user/name@commit`."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir().repos
    except CacheNotFound:
        return []
    found = []
    for repo in repos:
        for revision in repo.revisions:
            for file in revision.files:
                try:
                    if file.file_name == WEIGHTS and read_info(file.file_path):
                        found.append(f"{repo.repo_id}@{revision.commit_hash}")
                except CaflowError:  # another library's
                    continue
    return sorted(found)
