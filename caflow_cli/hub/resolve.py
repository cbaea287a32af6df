"""Finding the file of a model: an id of the manifest, a file, a folder, a Hub repository."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_WEIGHTS, CaflowError
from ..paths import exists, is_file, is_missing, sha256_of
from .cache import HubFile
from .download import fetch
from .manifest import Entry, bundled_path, load_manifest

if TYPE_CHECKING:
    from ..model import CAFlow

__all__ = ["Resolved", "check_name", "default_model", "load", "pull", "resolve"]

_REPO = re.compile(r"(?P<repo>\w[\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?")


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
        return _of_manifest(entries[name], local=local)

    path = Path(name)
    try:
        directory, file = path.is_dir(), path.is_file()
    except OSError as error:
        raise CaflowError(
            f"no model {name[:80]!r}: {error.strerror}", "caflow models list", EXIT_WEIGHTS
        ) from error
    if directory:
        for name_ in ("model.safetensors", "best.safetensors"):
            if is_file(path / name_):
                return Resolved(path.resolve().name, path / name_, sha256_of(path / name_))
        raise CaflowError(f"no model in the folder {name!r}", "caflow models list", EXIT_WEIGHTS)
    if file:
        return Resolved(path.name, path, _readable_sha256(path))
    match = _of_hub(name)
    if match:
        return _from_hub(name, HubFile(match["repo"], match["revision"]), local=local)
    raise _unknown(name, entries)


def check_name(name: str) -> None:
    """Refuse a name of nothing, before anything is read or downloaded. CaflowError (exit 3)."""
    entries = load_manifest()
    if name not in entries and is_missing(name) and not _of_hub(name):
        raise _unknown(name, entries)


def _of_hub(name: str) -> re.Match[str] | None:
    """The parts of a repository's name.

    None for a path that is wrong, which must not be sent over the network.
    """
    path = Path(name)
    if path.suffix == ".safetensors" or (path.parts and exists(path.parts[0])):
        return None
    return _REPO.fullmatch(name)


def pull(name: str) -> Resolved:
    """Do as `resolve` for an id or a Hub repository, and download changed cached files again.

    Raises:
        CaflowError: (exit 3) as for `resolve`; or the name is that of a file.
    """
    entries = load_manifest()
    if name in entries:
        return _of_manifest(entries[name], repair=True)
    match = _REPO.fullmatch(name)
    if match:
        return _from_hub(name, HubFile(match["repo"], match["revision"]), repair=True)
    raise _unknown(name, entries)


def _unknown(name: str, entries: Iterable[str]) -> CaflowError:
    near = difflib.get_close_matches(name, entries, n=1)
    hint = f"--model {near[0]}" if near else "caflow models list"
    return CaflowError(f"no model {name!r}", hint, EXIT_WEIGHTS)


def _of_manifest(entry: Entry, *, repair: bool = False, local: bool = False) -> Resolved:
    path = bundled_path(entry)
    if path is None:
        filename = entry.filename or HubFile.filename
        wanted = HubFile(str(entry.repo_id), entry.revision, filename, entry.sha256)
        return _from_hub(entry.id, wanted, repair=repair, local=local)
    digest = sha256_of(path)
    if digest != entry.sha256:
        raise CaflowError(
            f"the weights of {entry.id!r} have sha256 {digest[:12]}…, expected "
            f"{entry.sha256[:12]}…",
            "pip install --force-reinstall caflow-cli",
            EXIT_WEIGHTS,
        )
    return Resolved(entry.id, path, digest)


def _readable_sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise CaflowError(
            f"cannot read {str(path)!r}: {error.strerror}", "check its permissions", EXIT_WEIGHTS
        ) from error


def _from_hub(name: str, wanted: HubFile, *, repair: bool = False, local: bool = False) -> Resolved:
    file = fetch(wanted, repair=repair, local=local)
    return Resolved(name, file.path, file.sha256, file.commit, file.unreachable)


def load(name: str) -> CAFlow:
    """Load the model with that name (see `resolve`), in `eval()`, on the CPU.

    Examples:
        >>> import caflow_cli as caflow
        >>> model = caflow.load("faces-superres-x4")
        >>> model.config.task.name, model.config.task.factor
        ('superres', 4)
    """
    from ..model import CAFlow

    found = resolve(name)
    model = CAFlow.load(found.path)
    model.identity = {"id": found.id, "sha256": found.sha256}
    return model
