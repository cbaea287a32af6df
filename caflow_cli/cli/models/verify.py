"""`caflow models verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ...errors import EXIT_WEIGHTS
from .. import options
from ..console import Console
from ..records import SCHEMA, error_record

if TYPE_CHECKING:
    from ...hub.verify import Check

__all__ = ["verify_command"]


def verify_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help=f"{options.MODEL_NAME} Default: all that are here."),
    ] = None,
    as_json: options.JsonResult = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Hash models again, and check headers, shapes and configs: `ok` or `failed`, one a line.

    Exits with 3 if one failed.

    Example: caflow models verify
    """
    from ...hub.verify import verify

    console = Console(quiet, verbose)
    failed = False
    for check in verify(names or ()):
        _report(console, check, as_json)
        failed = failed or check.error is not None
    if failed:
        raise typer.Exit(EXIT_WEIGHTS)


def _report(console: Console, check: Check, as_json: bool) -> None:
    if check.error is not None:
        console.error(check.error)
        if as_json:
            console.json(error_record("models verify", {"input": check.name}, check.error))
        else:
            console.result(f"failed\t{check.name}")
        return
    console.detail(f"{check.path}: sha256 {check.sha256}")
    if as_json:
        console.json(
            {
                "schema": SCHEMA,
                "command": "models verify",
                "input": check.name,
                "status": "ok",
                "path": str(check.path),
                "sha256": check.sha256,
            }
        )
    else:
        console.result(f"ok\t{check.name}")
