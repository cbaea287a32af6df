"""Find the file of a model: by id in the manifest, file, folder, or Hub repository.

`huggingface_hub` takes a second to import, so it is imported only where it is used.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..assets import manifest_path
from ..checkpoint import CALIBRATION, CheckpointInfo, known_info, read_info
from ..errors import EXIT_WEIGHTS, CaflowError, ensure, reason_of, usage_error
from ..paths import exists, is_file, sha256_of
from ..records import Table
from .manifest import REINSTALL, Entry, bundled_path, load_manifest

if TYPE_CHECKING:
    from ..model import CAFlow

WEIGHTS = "model.safetensors"  # file name in repositories and folders
_REPO = re.compile(r"(?P<repo>\w[\w.-]*/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Resolved:
    """A model's file and its identity."""

    id: str  # manifest id, Hub repository, or the file's name, but never a local path
    path: Path
    sha256: str
    commit: str | None = None  # of its Hub repository
    entry: Entry | None = None  # what a manifest states of it
    bundled: bool = False  # it is in the package, and has the digest that the manifest states

    @cached_property
    def info(self) -> CheckpointInfo:
        """The header of the file; CaflowError (exit 3) if it is none."""
        return known_info(self.path) if self.bundled else read_info(self.path)


def default_model(task: str) -> Entry:
    """The default model of a task in the manifest; CaflowError (exit 3) if there is none."""
    for entry in load_manifest().values():
        if entry.task == task and entry.default:
            return entry
    raise CaflowError(
        f"no bundled model for {task}", f"caflow train --task {task}, or --model FILE", EXIT_WEIGHTS
    )


def resolve(name: str, *, local: bool = False) -> Resolved:
    """Find a model's file, and check its sha256 if it is known.

    Args:
        name: An id in the manifest; a `.safetensors` file; a folder with `model.safetensors` or,
            for a run, `best.safetensors`; a Hub repository `user/name` or `user/name@revision`.
        local: Do not download anything.

    Raises:
        CaflowError: There is no such model, or its checksum is wrong (exit code 3).
    """
    entry = load_manifest().get(name)
    if entry is None:
        return _from_path(name) or _from_repository(name, local)
    bundled = bundled_path(entry)
    if bundled is None:
        return _from_hub(name, str(entry.repo_id), entry.revision, local, entry)
    digest = sha256_of(bundled)
    _check_digest(name, digest, entry.sha256, REINSTALL)
    return Resolved(name, bundled, digest, entry=entry, bundled=True)


def _from_repository(name: str, local: bool) -> Resolved:
    """Find the file of a model in a Hub repository; CaflowError (exit 3) if `name` names none."""
    match = _REPO.fullmatch(name)
    # A mistyped path must not be sent over the network.
    if match and not name.endswith(".safetensors") and not exists(Path(name).parts[0]):
        return _from_hub(name, match["repo"], match["revision"], local)
    near = difflib.get_close_matches(name, load_manifest(), n=1)
    hint = f"--model {near[0]}" if near else "caflow models list"
    raise CaflowError(f"no model {name!r}", hint, EXIT_WEIGHTS)


def _from_path(name: str) -> Resolved | None:
    """Find the file of a model by its path or folder; None if there is none."""
    path = Path(name)
    try:
        if path.is_dir():
            for file in (path / WEIGHTS, path / "best.safetensors"):
                if is_file(file):
                    return _of_file(path.resolve().name, file)
            raise CaflowError(
                f"no model in the folder {name!r}", "caflow models list", EXIT_WEIGHTS
            )
        return _of_file(path.name, path) if path.is_file() else None
    except OSError as error:
        raise CaflowError(
            f"cannot read the model {name[:80]!r}: {error.strerror}",
            "check its name and permissions",
            EXIT_WEIGHTS,
        ) from error


def _of_file(name: str, path: Path) -> Resolved:
    digest = sha256_of(path)
    return Resolved(name, path, digest, entry=_entry_of(path, digest))


def _entry_of(path: Path, digest: str) -> Entry | None:
    """The entry of a file with that sha256, from the manifest or one beside the file."""
    beside = path.with_name(manifest_path().name)
    entries = [*load_manifest().values()]
    if is_file(beside):
        entries += load_manifest(beside).values()
    return next((entry for entry in entries if entry.sha256 == digest), None)


def maker_of(target: str, record: Table, default: str | None) -> str | None:
    """The name of the model in an image's provenance; None if it states none.

    The file is identified by its sha256: it is that of the manifest's entry, of the model named
    `default`, or of a Hub repository. CaflowError (exit 2) if it is none of them.
    """
    try:
        name = str(record["model"]["id"])
        sha256 = str(record["model"]["sha256"])
    except (KeyError, TypeError):
        return None
    entry = load_manifest().get(name)
    if entry is not None and entry.sha256 == sha256:
        return name
    repository = name if entry is None and "/" in name else None
    for candidate in (default, repository):
        if candidate is not None and resolve(candidate).sha256 == sha256:
            return candidate
    raise usage_error(
        f"{target!r} was made with model {name!r} ({sha256[:12]}…), which cannot be found",
        "--model PATH of that model",
    )


def _check_digest(name: str, digest: str, wanted: str, hint: str) -> None:
    ensure(
        digest == wanted,
        f"the weights of {name!r} have sha256 {digest[:12]}…, expected {wanted[:12]}…",
        hint,
        EXIT_WEIGHTS,
    )


def _from_hub(
    name: str, repo: str, revision: str | None, local: bool, entry: Entry | None = None
) -> Resolved:
    """Get a file from the Hub's cache, or download it, and check its sha256.

    The manifest states the sha256, or else the Hub, or else the name of the cached file. A file of
    which the Hub states none is refused. A cached file that cannot change, because it is pinned to
    a commit or has a digest in the manifest, needs no request. For a branch, the Hub is asked for
    the newest commit; if it cannot be reached, the cached file is used.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    filename = (entry and entry.filename) or WEIGHTS

    def download(**options: Any) -> Path:
        with hub_errors(name):
            return Path(hf_hub_download(repo, filename, revision=revision, **options))

    with hub_errors(name):
        found = try_to_load_from_cache(repo, filename, revision=revision)
    cached = Path(found) if isinstance(found, str) else None
    is_fixed = local or entry is not None or _COMMIT.fullmatch(revision or "") is not None
    ensure(
        cached is not None or not local,
        f"the model {name!r} is not in the cache",
        f"caflow models pull {name}",
        EXIT_WEIGHTS,
    )
    digest = entry.sha256 if entry else None
    if cached is not None and is_fixed:
        path = cached
    else:
        try:
            etag, size = _stated(name, repo, filename, revision)
        except CaflowError:
            if cached is None or download() != cached:  # which is used if the Hub is out of reach
                raise
            path = cached
        else:
            digest = _checked_etag(name, etag, size, entry)
            path = download()
    # Where symlinks exist, the Hub's cache links to files named by their sha256. Where they do not,
    # a file that was checked when it was downloaded cannot be checked again.
    linked = path.resolve().name
    actual = sha256_of(path)
    if digest is None:
        digest = actual if linked == filename else _checked_etag(name, linked)
    if digest != actual and not local:
        with suppress(CaflowError):
            path = download(force_download=True)
            actual = sha256_of(path)
    again = f"caflow models pull {name}, or report it to the owner"
    _check_digest(name, actual, digest, again)
    commit = path.parent.name  # snapshots/COMMIT/FILE
    return Resolved(name, path, actual, commit, entry or _entry_of(path, actual))


def _stated(name: str, repo: str, filename: str, revision: str | None) -> tuple[str, int | None]:
    """The ETag and size of a file on the Hub, asked before a download, to fail at once.

    A download would retry for half a minute.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    with hub_errors(name):
        stated = get_hf_file_metadata(hf_hub_url(repo, filename, revision=revision))
    return stated.etag or "", stated.size


def _checked_etag(name: str, etag: str, size: int | None = None, entry: Entry | None = None) -> str:
    """The sha256 that the Hub states by an ETag; files in Git itself have a SHA-1 instead.

    CaflowError (exit 3) if it states none, or another size or sha256 than the manifest.
    """
    if entry is not None:
        ensure(
            (etag, size) == (entry.sha256, entry.bytes),
            f"the Hub's weights of {name!r} have {size} bytes and sha256 {etag[:12]}…, "
            f"expected {entry.bytes} and {entry.sha256[:12]}…",
            "git pull && pip install . in the checkout of caflow",
            EXIT_WEIGHTS,
        )
    ensure(
        _SHA256.fullmatch(etag) is not None,
        f"the Hub states no sha256 of the weights of {name!r}, so they cannot be checked",
        "ask the owner to push them again with `caflow models push`",
        EXIT_WEIGHTS,
    )
    return etag


def load(name: str | Path | Resolved) -> CAFlow:
    """Load the model with that name (see `resolve`), in `eval()`, on the CPU.

    Examples:
        >>> import caflow_cli as caflow
        >>> model = caflow.load("faces-superres-x4")
        >>> model.config.task.name, model.config.task.factor
        ('superres', 4)
    """
    from ..model import CAFlow

    resolved = name if isinstance(name, Resolved) else resolve(str(name))
    model = CAFlow.load(resolved.path, resolved.info)
    model.identity = {"id": resolved.id, "sha256": resolved.sha256}
    guide = model.record.get("guide")
    if isinstance(guide, dict):
        model.identity["guide"] = {"name": guide.get("file"), "sha256": guide.get("sha256")}
    model.record = with_calibration(resolved, model.record)
    return model


def with_calibration(resolved: Resolved, record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A training record; if it has no calibration, with that of the file's manifest entry."""
    entry = resolved.entry
    return record if entry is None else {CALIBRATION: entry.calibration, **record}


def license_of(resolved: Resolved, record: Mapping[str, Any]) -> str | None:
    """The license of the weights: from the training record, else from the manifest entry."""
    stated = record.get("license")
    if isinstance(stated, str):
        return stated
    return resolved.entry.license if resolved.entry else None


def verify(name: str) -> Resolved:
    """Hash a model's file again, and compare its tensors with its config. Downloads nothing.

    Raises:
        CaflowError: (exit 3) as for `resolve`, or its tensors do not match its config.
    """
    from ..model import CAFlow, without_values

    resolved = resolve(name, local=True)
    without_values(CAFlow, read_info(resolved.path), resolved.path)
    return resolved


# --- the Hub's client library ---------------------------------------------------------------------


@contextmanager
def hub_errors(name: str, action: str = "download") -> Iterator[None]:
    """Convert failures of the client, its HTTP library and the disk to CaflowError (exit 3).

    Args:
        name: The model or repository, for the message.
        action: The verb for the message "cannot `action` NAME: ...".
    """
    from huggingface_hub import errors, logging

    logging.set_verbosity_error()  # do not report retries: the error says enough
    try:
        yield
    except CaflowError:
        raise
    except Exception as error:  # the HTTP library, and its errors, depend on the client's version
        cause: BaseException = error
        while cause.__cause__ and (
            isinstance(cause, errors.LocalEntryNotFoundError)
            or not isinstance(cause, errors.HfHubHTTPError)
        ):
            cause = cause.__cause__
        message, hint = _explained(cause, name, f"cannot {action} {name!r}")
        raise CaflowError(message, hint, EXIT_WEIGHTS) from cause


def _explained(error: BaseException, name: str, cannot: str) -> tuple[str, str]:
    from huggingface_hub import errors

    login = "hf auth login (or set HF_TOKEN)"
    nothing = (
        errors.RepositoryNotFoundError,
        errors.RevisionNotFoundError,
        errors.HFValidationError,
        errors.EntryNotFoundError,
    )
    # The first kind that fits: a `LocalEntryNotFoundError` is also an `EntryNotFoundError`, and a
    # `GatedRepoError` a `RepositoryNotFoundError`.
    for kind, message, hint in (
        (
            errors.LocalEntryNotFoundError,
            cannot,
            "check the network, and run the command again",
        ),
        (
            errors.OfflineModeIsEnabled,
            f"{cannot}: HF_HUB_OFFLINE is set",
            "unset HF_HUB_OFFLINE",
        ),
        (
            errors.GatedRepoError,
            f"access to {name!r} on the Hub requires agreeing to its terms",
            f"agree on its page on the Hub, then: {login}",
        ),
        (
            nothing,
            f"the Hub has no caflow model {name!r}, or it is private",
            f"check the name, or {login}",
        ),
    ):
        if isinstance(error, kind):
            return message, hint
    hint = "check the network (and HF_ENDPOINT), and run the command again"
    if isinstance(error, errors.HfHubHTTPError) and error.response is not None:
        if error.response.status_code in (401, 403):
            return f"{cannot}: the Hub refuses your token", login
        hint = "run the command again later"
    elif isinstance(error, OSError) and error.errno is not None and error.strerror:
        hint = "free some space, or set HF_HOME to another folder"
    return f"{cannot}: {reason_of(error)}", hint
