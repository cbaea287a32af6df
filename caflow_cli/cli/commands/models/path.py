"""`caflow models path`."""

from __future__ import annotations

from typing import Annotated

import typer

from ... import options
from ...console import Console
from ...reporter import Reporter

__all__ = ["path_command"]


def path_command(
    name: Annotated[str, typer.Argument(metavar="ID", help=options.MODEL_NAME)],
    as_json: options.JsonResult = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Print where a model's file is, once its sha256 is checked.

    Nothing is downloaded: `caflow models pull` does that.

    Example: caflow models path faces-superres-x4
    """
    from ....hub.resolve import resolve

    console = Console(quiet, verbose)
    resolved = resolve(name, local=True)
    console.detail(f"sha256 {resolved.sha256}")
    path = str(resolved.path)
    fields = {"input": name, "id": resolved.id, "path": path, "sha256": resolved.sha256}
    Reporter("models path", console, as_json).result(fields, [path])
