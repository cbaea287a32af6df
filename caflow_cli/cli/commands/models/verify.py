"""`caflow models verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ....errors import EXIT_WEIGHTS
from ... import completion, options
from ...console import Console
from ...option_groups import expanded
from ...reporter import Reporter

if TYPE_CHECKING:
    from ....hub.verify import Check

__all__ = ["verify_command"]


@expanded
def verify_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID",
            help=f"{options.MODEL_NAME} Default: all local models.",
            autocompletion=completion.models,
        ),
    ] = None,
    json: options.JsonResult = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
) -> None:
    """Hash models again and check headers, shapes and configs. Prints `ok` or `failed` for each.

    The exit code is 3 if a model failed.

    Example: caflow models verify
    """
    from ....hub.verify import verify

    reporter = Reporter("models verify", Console(quiet, verbose), json)
    failed = False
    for check in verify(names or ()):
        _report(check, reporter)
        failed = failed or check.error is not None
    if failed:
        raise typer.Exit(EXIT_WEIGHTS)


def _report(check: Check, reporter: Reporter) -> None:
    if check.error is not None:
        reporter.failure({"input": check.name}, check.error)
        reporter.text([f"failed\t{check.name}"])
        return
    reporter.console.detail(f"{check.path}: sha256 {check.sha256}")
    identity = {"path": str(check.path), "sha256": check.sha256}
    reporter.result({"input": check.name, "status": "ok", **identity}, [f"ok\t{check.name}"])
