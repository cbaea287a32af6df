"""The user's file of defaults, as Click's `default_map`, and `caflow config`, which prints it.

    device = "cuda"            # for every command that has --device

    [superres]                 # for one command; [models.list] for a command in a group
    candidates = 20

Typed options take precedence over the environment (`CAFLOW_SUPERRES_CANDIDATES`), the environment
over this file, and this file over built-in defaults.
"""

import os
from pathlib import Path
from typing import Any

import typer

from ..errors import CaflowError, check_usage
from ..paths import is_file
from ..records import Table, read_toml
from .console import Console


def config_path() -> Path:
    """Path of the file: `CAFLOW_CONFIG`, else in the platform's configuration folder."""
    named = os.environ.get("CAFLOW_CONFIG")
    return Path(named) if named else Path(typer.get_app_dir("caflow"), "config.toml")


def defaults(group: Any) -> Table:
    """The file's values by command and parameter, for `Context.default_map` of the program.

    CaflowError (exit 2) as in `read_toml`, or if the file names an option that no command has.
    """
    path = config_path()
    return _defaults(group, read_toml(path), {}, "") if is_file(path) else {}


def _defaults(command: Any, table: Table, shared: Table, prefix: str) -> Table:
    """Defaults of a command, or of all commands in a group; `shared` come from enclosing groups.

    Values are text, which Typer converts and checks like typed options.
    """
    commands = getattr(command, "commands", {})
    options = _options(command)
    values = {**shared}
    for key, value in table.items():
        name = key.replace("-", "_")
        is_table = isinstance(value, dict)
        kind = "a command" if is_table else "an option"
        check_usage(
            key in commands if is_table else name in options,
            f"{str(config_path())!r} sets {prefix}{key}, which is not {kind}",
            "caflow --help lists the commands, caflow COMMAND --help the options",
        )
        if isinstance(value, list):
            values[name] = [str(each) for each in value]
        elif not is_table:
            values[name] = str(value)
    if commands:
        return {
            name: _defaults(child, table.get(name, {}), values, f"{prefix}{name}.")
            for name, child in commands.items()
        }
    return {name: value for name, value in values.items() if name in options}


def _options(command: Any) -> set[str]:
    if hasattr(command, "commands"):
        return set().union(*map(_options, command.commands.values()))
    return {param.name for param in command.params if param.param_type_name == "option"}


def source(context: typer.Context, name: str) -> str:
    """COMMANDLINE, ENVIRONMENT, DEFAULT_MAP or DEFAULT; empty before the parameter is parsed."""
    return getattr(context.get_parameter_source(name), "name", "")


def config_command(context: typer.Context) -> None:
    """Print the path of your config file, even if it does not exist, and its content.

    It sets option defaults in TOML: for every command at the top, for one command in a table.
    The command line overrides the environment (CAFLOW_SUPERRES_TAU), which overrides the file.

    Example: caflow config
    """
    console = Console()
    path = config_path()
    console.text([str(path)])
    if isinstance(context.obj, CaflowError):  # from reading the file; it stops every other command
        console.error(context.obj)
    elif is_file(path):
        console.text(path.read_text(encoding="utf-8").splitlines())
