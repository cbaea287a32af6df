"""The description of a model, from its manifest entry and its file's header, without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..model import CheckpointInfo, read_info
from .manifest import Entry, load_manifest
from .resolve import Resolved, resolve

__all__ = ["Description", "describe"]


@dataclass(frozen=True)
class Description:
    """A model's file, its header, and its manifest entry if there is one."""

    resolved: Resolved
    info: CheckpointInfo
    entry: Entry | None  # of the same content, whatever the name
    card: Path | None  # Markdown beside the file

    @property
    def bytes(self) -> int:
        """Size of the file."""
        return self.resolved.path.stat().st_size


def describe(name: str) -> Description:
    """Describe the model with that name (see `resolve`). Nothing is downloaded.

    Raises:
        CaflowError: (exit 3) there is no such model, its checksum is wrong, or it is not a caflow
            model.
    """
    resolved = resolve(name, local=True)
    info = read_info(resolved.path)
    entries = load_manifest().values()
    entry = next((e for e in entries if e.sha256 == resolved.sha256), None)
    beside = resolved.path.with_suffix(".md"), resolved.path.with_name("README.md")
    card = next((path for path in beside if path.is_file()), None)
    return Description(resolved, info, entry, card)
