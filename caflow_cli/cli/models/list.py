"""`caflow models list`."""

from __future__ import annotations

from .. import options
from ..console import Console
from ..records import SCHEMA

__all__ = ["list_command"]


def list_command(as_json: options.JsonResult = False) -> None:
    """List the models of the manifest: id, task, size, terms.

    Example: caflow models list
    """
    from dataclasses import asdict

    from ...hub.manifest import load_manifest

    console = Console()
    for entry in load_manifest().values():
        if as_json:
            console.json({"schema": SCHEMA, "command": "models list", **asdict(entry)})
        else:
            size = f"{entry.bytes / 1e6:.1f} MB"
            mark = "default" if entry.default else ""
            console.result("\t".join([entry.id, entry.task, size, entry.license, mark]).rstrip())
