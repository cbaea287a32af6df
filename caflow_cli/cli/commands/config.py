"""`caflow config`: a user's defaults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ...errors import EXIT_USAGE, CaflowError
from .. import completion
from ..console import Console
from ..help import Command

__all__ = ["config_app"]

config_app = typer.Typer(help="Show and set your own defaults of options.", no_args_is_help=True)

Key = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        help="An option of all commands (device), of one (superres.candidates), or the model of a "
        "task (model.superres).",
        autocompletion=completion.config_keys,
    ),
]


@config_app.command("path", cls=Command)
def path_command() -> None:
    """Print where the file of defaults is, or would be.

    Example: caflow config path
    """
    from ..user_config import config_path

    Console().result(str(config_path()))


@config_app.command("show", cls=Command)
def show_command() -> None:
    """Print all defaults that are set, as KEY = VALUE.

    Example: caflow config show
    """
    from ..user_config import read_table

    console = Console()
    for key, value in _flat(read_table()):
        console.result(f"{key} = {json.dumps(value, ensure_ascii=False, default=str)}")


@config_app.command("set", cls=Command)
def set_command(
    context: typer.Context,
    key: Key,
    value: Annotated[
        str, typer.Argument(metavar="VALUE", help="A number, true, false, a JSON list, or a text.")
    ],
) -> None:
    """Set a default. An option or a variable of the environment still goes before it.

    Example: caflow config set model.superres photos-superres-x4
    """
    try:
        parsed: Any = json.loads(value)
    except ValueError:
        parsed = value
    if parsed is None or isinstance(parsed, dict):
        raise CaflowError(f"{value!r} is no value", "a number, true, false, or a text", EXIT_USAGE)
    _write(context, key, parsed)


@config_app.command("unset", cls=Command)
def unset_command(context: typer.Context, key: Key) -> None:
    """Remove a default.

    Example: caflow config unset model.superres
    """
    _write(context, key, None)


def _write(context: typer.Context, key: str, value: Any) -> None:
    from ...images import atomic_write, make_folder
    from ..user_config import config_path, defaults_of, read_table, with_value

    path = config_path()
    text = with_value(key, value)
    root = context.find_root()
    try:
        defaults_of(read_table(text), root)  # what no command takes is not written
    except CaflowError as error:
        if value is not None:
            said = error.message.partition("' ")[2]
            reason = said.partition(": ")[2] or said
            raise CaflowError(f"{key} = {value!r}: {reason}", error.hint, EXIT_USAGE) from error
    make_folder(path.parent)
    atomic_write(path, text.encode())


def _flat(table: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
