"""`caflow models path`."""

from __future__ import annotations

from typing import Annotated

import typer

from ... import completion, options
from ...console import Console
from ...option_groups import expanded
from ...reporter import Reporter

__all__ = ["path_command"]


@expanded
def path_command(
    name: Annotated[
        str,
        typer.Argument(metavar="ID", help=options.MODEL_NAME, autocompletion=completion.models),
    ],
    json: options.JsonResult = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Print the path of a model's file, after a check of its sha256.

    This command downloads nothing; `caflow models pull` downloads models.

    Example: caflow models path faces-superres-x4
    """
    from ....hub.resolve import resolve

    console = Console(quiet, verbose)
    resolved = resolve(name, local=True)
    console.detail(f"sha256 {resolved.sha256}")
    path = str(resolved.path)
    fields = {"input": name, "id": resolved.id, "path": path, "sha256": resolved.sha256}
    Reporter("models path", console, json).result(fields, [path])
