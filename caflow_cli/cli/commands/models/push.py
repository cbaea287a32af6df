"""`caflow models push`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ... import options
from ...console import Console
from ...option_groups import expanded
from ...reporter import Reporter

__all__ = ["push_command"]


@expanded
def push_command(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="Folder of a run, a model file, or an id.")
    ],
    repo: Annotated[
        str, typer.Option("--repo", metavar="USER/NAME", help="Hub repository; created if new.")
    ],
    revision: Annotated[
        str | None,
        typer.Option("--revision", metavar="BRANCH", help="Branch to commit to; created if new."),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make the repository private; refuse a public one.")
    ] = False,
    license_terms: Annotated[
        str,
        typer.Option(
            "--license", metavar="TEXT", help="Terms of the weights: a Hub identifier or text."
        ),
    ] = "",
    data: Annotated[
        str, typer.Option("--data-terms", metavar="TEXT", help="Training data and its terms.")
    ] = "",
    message: Annotated[
        str | None, typer.Option("--message", metavar="TEXT", help="Message of the commit.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the repository's README.md.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the model card, and push nothing.")
    ] = False,
    quiet: options.Quiet = False,
    json: options.JsonResult = False,
) -> None:
    """Push a model to the Hub: its file as it is, its config, and a model card, in one commit.

    Log in first, with `hf auth login` or HF_TOKEN. Terms and metrics of a packed model come from
    its manifest entry.

    Example: caflow models push run --repo user/my-faces --license cc-by-nc-4.0
    """
    from ....hub.client import hide_progress
    from ....hub.push import pack_parcel, push

    console = Console(quiet)
    reporter = Reporter("models push", console, json)
    if not console.live:
        hide_progress()
    parcel = pack_parcel(run, repo, license_terms, data)
    if dry_run:
        card = parcel.card
        file = {"repo_id": repo, "sha256": card.sha256, "bytes": parcel.size}
        reporter.result(
            {"input": run, "status": "planned", **file, "card": card.text},
            [card.text.rstrip("\n")],
        )
        return
    pushed = push(
        parcel, revision=revision, private=private, message=message, replace_card=overwrite
    )
    if "README.md" not in pushed.files:
        console.note("the repository's README.md is kept; --overwrite replaces it")
    reporter.result({"input": run, "status": "ok", **asdict(pushed)}, [pushed.url])
