"""`weights_manifest.json`: what models exist."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EXIT_WEIGHTS, CaflowError

__all__ = ["MANIFEST_SCHEMA", "Entry", "load_manifest", "manifest_path"]

MANIFEST_SCHEMA = 1
_NAME = "weights_manifest.json"
_PACKAGE = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Entry:
    """One model of the manifest."""

    id: str
    task: str
    file: str  # name of the bundled file
    sha256: str
    bytes: int
    default: bool  # the task's model where none is named
    license: str  # of the weights
    data: str  # what they were trained on, and its terms
    config: dict[str, Any]
    metrics: dict[str, Any]  # measured on exactly this file, with protocol


def manifest_path() -> Path:
    """In a wheel inside the package; in a checkout, also an editable install, at the top level."""
    inside = _PACKAGE / _NAME
    return inside if inside.exists() else _PACKAGE.parent / _NAME


def load_manifest(path: Path | None = None) -> dict[str, Entry]:
    """The manifest's entries by id.

    Raises:
        CaflowError: Missing, not JSON, of another schema, or an entry that lacks a field.
    """
    path = path or manifest_path()
    hint = "pip install --force-reinstall caflow-cli"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != MANIFEST_SCHEMA:
            raise ValueError(f"schema {content['schema']!r}")
        entries = {id_: Entry(id=id_, **fields) for id_, fields in content["models"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CaflowError(
            f"unusable manifest {str(path)!r}: {error}", hint, EXIT_WEIGHTS
        ) from error
    for entry in entries.values():
        if Path(entry.file).name != entry.file:
            raise CaflowError(
                f"manifest entry {entry.id!r} names the path {entry.file!r}", hint, EXIT_WEIGHTS
            )
    return entries
