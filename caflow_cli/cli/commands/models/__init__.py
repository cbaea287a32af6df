"""`caflow models`, one file a subcommand."""

from __future__ import annotations

import typer

from ...help import Command, Group
from .info import info_command
from .list import list_command
from .pack import pack_command
from .path import path_command
from .pull import pull_command
from .push import push_command
from .verify import verify_command

__all__ = ["models_app"]

models_app = typer.Typer(
    cls=Group, help="List, describe, check and pack models; use the Hub.", no_args_is_help=True
)
models_app.command("list", cls=Command)(list_command)
models_app.command("info", cls=Command)(info_command)
models_app.command("path", cls=Command)(path_command)
models_app.command("verify", cls=Command)(verify_command)
models_app.command("pack", cls=Command)(pack_command)
models_app.command("pull", cls=Command)(pull_command)
models_app.command("push", cls=Command)(push_command)
