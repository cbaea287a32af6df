"""`caflow models list`."""

from __future__ import annotations

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
    for entry in load_manifest().values():
        size = f"{entry.bytes / 1e6:.1f} MB"
        place = "bundled" if entry.file else f"{entry.repo_id}@{entry.revision}"
        mark = "default" if entry.default else ""
        cells = [entry.id, entry.task, size, place, entry.license, mark]
        reporter.result(asdict(entry), ["\t".join(cells).rstrip()])
