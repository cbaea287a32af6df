"""Verification that local models are the published ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import Config
from ..errors import EXIT_WEIGHTS, CaflowError
from ..model import CheckpointInfo, read_info
from ..records import parse
from .cache import HubFile, check, recorded
from .manifest import Entry, load_manifest
from .resolve import resolve

__all__ = ["Check", "verify"]


@dataclass(frozen=True)
class Check:
    """The result of a check: the model's file, or the error."""

    name: str
    path: Path | None = None  # of what is sound
    sha256: str | None = None
    error: CaflowError | None = None


def verify(names: Sequence[str] = ()) -> Iterator[Check]:
    """Hash each model again, and compare its header, shapes and config.

    Nothing is downloaded.

    Args:
        names: As for `resolve`. Without names: every bundled model, and every model in the Hub's
            cache whose digest was recorded at its download.

    Raises:
        CaflowError: (exit 3) the manifest is unusable. Errors of models are in their checks.
    """
    entries = load_manifest()
    for name in names or [entry.id for entry in entries.values() if entry.file is not None]:
        try:
            yield _check(name, entries.get(name))
        except CaflowError as error:
            yield Check(name, error=error)
    if not names:
        for hub_file, path in recorded():
            try:
                yield _check_cached(hub_file, path)
            except CaflowError as error:
                yield Check(str(hub_file), error=error)


def _check(name: str, entry: Entry | None) -> Check:
    resolved = resolve(name, local=True)
    info = _read(resolved.path)
    if entry is not None:
        size = resolved.path.stat().st_size
        if size != entry.bytes:
            raise _contradiction(entry, f"{entry.bytes} bytes, its file has {size}")
        if info.config != parse(Config, entry.config):
            raise _contradiction(entry, "another config than its file")
    return Check(name, resolved.path, resolved.sha256)


def _read(path: Path) -> CheckpointInfo:
    """Read a file's header, and check that its tensors are those of its config."""
    from ..model import CAFlow
    from ..model.pretrained import check_tensors

    info = read_info(path)
    check_tensors(CAFlow, info, path)
    return info


def _check_cached(hub_file: HubFile, path: Path) -> Check:
    file = check(hub_file, path)
    _read(file.path)
    return Check(str(hub_file), file.path, file.sha256)


def _contradiction(entry: Entry, what: str) -> CaflowError:
    return CaflowError(
        f"the manifest gives {entry.id!r} {what}",
        "pip install --force-reinstall caflow-cli",
        EXIT_WEIGHTS,
    )
