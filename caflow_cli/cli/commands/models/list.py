"""`caflow models list`."""

from __future__ import annotations

import sys

from ... import options
from ...console import Console
from ...option_groups import expanded
from ...reporter import Reporter

__all__ = ["list_command"]

_COLUMNS = ("id", "task", "size", "place", "license", "default")


@expanded
def list_command(
    json: options.JsonResult = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """List the models of the manifest: id, task, size, place, terms, and the default of each task.

    On a terminal the list is a table. In a pipe it is tab-separated lines with a header.

    Example: caflow models list
    """
    from dataclasses import asdict

    from ....hub.manifest import load_manifest, manifest_path

    console = Console(quiet, verbose)
    console.detail(f"{manifest_path()}")
    reporter = Reporter("models list", console, json)
    entries = list(load_manifest().values())
    rows = [list(_COLUMNS)]
    for entry in entries:
        size = f"{entry.bytes / 1e6:.1f} MB"
        place = "bundled" if entry.file else f"{entry.repo_id}@{entry.revision}"
        mark = "default" if entry.default else ""
        rows.append([entry.id, entry.task, size, place, entry.license, mark])
    if sys.stdout is not None and sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows = [[c.ljust(w) for c, w in zip(row, widths, strict=True)] for row in rows]
        separator = "  "
    else:
        separator = "\t"
    head, *lines = [separator.join(row).rstrip() for row in rows]
    reporter.text([head])
    for entry, line in zip(entries, lines, strict=True):
        reporter.result(asdict(entry), [line])
