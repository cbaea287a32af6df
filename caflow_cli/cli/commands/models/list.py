"""`caflow models list`."""

from __future__ import annotations

import sys

from ... import options
from ...console import Console
from ...reporter import Reporter

__all__ = ["list_command"]


def list_command(
    as_json: options.JsonResult = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """List the models of the manifest: id, task, size, where it is, terms, and which is a default.

    Example: caflow models list
    """
    from dataclasses import asdict

    from ....hub.manifest import load_manifest, manifest_path

    console = Console(quiet, verbose)
    console.detail(f"{manifest_path()}")
    reporter = Reporter("models list", console, as_json)
    rows = []
    for entry in load_manifest().values():
        size = f"{entry.bytes / 1e6:.1f} MB"
        place = "bundled" if entry.file else f"{entry.repo_id}@{entry.revision}"
        mark = "default" if entry.default else ""
        rows.append((entry, [entry.id, entry.task, size, place, entry.license, mark]))
    # Tabs for programs; for people columns as wide as they need to be.
    widths = [max(map(len, column)) for column in zip(*(cells for _, cells in rows), strict=True)]
    padded = sys.stdout is not None and sys.stdout.isatty()
    for entry, cells in rows:
        if padded:
            text = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        else:
            text = "\t".join(cells)
        reporter.result(asdict(entry), [text.rstrip()])
