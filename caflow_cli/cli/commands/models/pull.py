"""`caflow models pull`."""

from __future__ import annotations

from typing import Annotated

import typer

from ....errors import EXIT_WEIGHTS, CaflowError
from ... import options
from ...console import Console
from ...option_groups import expanded
from ...reporter import Reporter

__all__ = ["pull_command"]


@expanded
def pull_command(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="ID|REPO[@REV]...", help="Ids of the manifest, or Hub repositories."
        ),
    ],
    quiet: options.Quiet = False,
    json: options.JsonResult = False,
) -> None:
    """Download models into the cache, check their sha256, and print their paths.

    Cached models are not downloaded again. A stopped download goes on where it stopped.

    Example: caflow models pull user/name@v1
    """
    from ....hub.client import hide_progress
    from ....hub.resolve import pull

    console = Console(quiet)
    reporter = Reporter("models pull", console, json)
    if quiet:
        hide_progress()
    failed = False
    for name in names:
        try:
            model = pull(name)
        except CaflowError as error:
            reporter.failure({"input": name}, error)
            failed = True
            continue
        if model.unreachable:
            console.note(f"{name}: from the cache, because {model.unreachable}")
        path = str(model.path)
        identity = {"path": path, "sha256": model.sha256, "commit": model.commit}
        reporter.result({"input": name, "status": "ok", **identity}, [path])
    if failed:
        raise typer.Exit(EXIT_WEIGHTS)
