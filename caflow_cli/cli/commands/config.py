"""`caflow config`."""

from __future__ import annotations

import json

import typer

from ...errors import CaflowError
from ..console import Console
from ..user_config import config_path, read_config

__all__ = ["config_command"]


def config_command(context: typer.Context) -> None:
    """Print where the file of your own defaults is, or would be, and what it sets.

    It holds values of options, as TOML: of every command at the top, of one command in a table.
    What is typed goes before the environment (CAFLOW_SUPERRES_TAU), and that before the file.

    Example: caflow config
    """
    console = Console()
    console.text([str(config_path())])
    if isinstance(context.obj, CaflowError):  # the file's, which stops every other command
        console.error(context.obj)
        return
    _print(read_config(), "", console)


def _print(table: dict[str, object], prefix: str, console: Console) -> None:
    for key, value in table.items():
        if isinstance(value, dict):
            _print(value, f"{prefix}{key}.", console)
        else:
            text = json.dumps(value, ensure_ascii=False, default=str)
            console.text([f"{prefix}{key} = {text}"])
