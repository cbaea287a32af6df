"""`caflow models`, one file a subcommand."""

from __future__ import annotations

import typer

from .info import info_command
from .list import list_command
from .pack import pack_command
from .path import path_command
from .pull import pull_command
from .push import push_command
from .verify import verify_command

__all__ = ["models_app"]

models_app = typer.Typer(
    help="Models: what there is, what a file holds, packing one, and the Hub.", no_args_is_help=True
)
models_app.command("list")(list_command)
models_app.command("info")(info_command)
models_app.command("path")(path_command)
models_app.command("verify")(verify_command)
models_app.command("pack")(pack_command)
models_app.command("pull")(pull_command)
models_app.command("push")(push_command)
