"""A user's file of defaults, as Click's `default_map`, and `caflow config`, which prints it.

    device = "cuda"            # of every command that has --device

    [superres]                 # of one command; [models.list] of a command in a group
    candidates = 20

What is typed goes before the environment (`CAFLOW_SUPERRES_CANDIDATES`), the environment before
this file, and this file before the built-in default.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from ..errors import CaflowError, usage_error
from ..paths import is_file
from .console import Console

__all__ = ["config_command", "config_path", "defaults", "name_origins", "origin", "read_toml"]

_Table = dict[str, Any]


def config_path() -> Path:
    """Where the file is: `CAFLOW_CONFIG`, else in the platform's folder for configuration."""
    given = os.environ.get("CAFLOW_CONFIG")
    return Path(given) if given else Path(typer.get_app_dir("caflow"), "config.toml")


def read_toml(path: str | Path) -> _Table:
    """The values of a TOML file.

    Raises:
        CaflowError: (exit 2) it cannot be read, or is not TOML; the message has the line.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    text = ""
    try:
        text = Path(path).read_text(encoding="utf-8")
        return tomllib.loads(text)
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except RecursionError:
        reason = "is nested too deeply"
    except ValueError as error:  # not UTF-8, or not TOML
        end = f"line {text.count(chr(10)) + 1}"
        reason = f"is not TOML: {error}".replace("end of document", end)
    raise usage_error(f"{str(path)!r} {reason}", "fix the file, or leave it out")


def _read_config() -> _Table:
    path = config_path()
    return read_toml(path) if is_file(path) else {}


def defaults(group: Any) -> _Table:
    """The file's values by command and parameter, for `Context.default_map`.

    Args:
        group: The program's command, a Typer group.

    Raises:
        CaflowError: (exit 2) as `read_toml`; or no command has an option that the file names.
    """
    return _defaults(group, _read_config(), {}, "")


def _defaults(command: Any, table: _Table, outer: _Table, prefix: str) -> _Table:
    """The values of one command, or of all commands of a group; `outer` are those of its groups."""
    commands = getattr(command, "commands", {})
    known, values = dict(_options(command)), dict(outer)
    for key, value in table.items():
        option, is_table = key.replace("_", "-"), isinstance(value, dict)
        if key not in commands if is_table else option not in known:
            near = difflib.get_close_matches(key, [*known, *commands], n=1)
            raise usage_error(
                f"{str(config_path())!r} sets {prefix}{key}, which is no "
                + ("command" if is_table else "option"),
                f"{prefix}{near[0]}" if near else "caflow COMMAND --help lists the options",
            )
        if not is_table:
            values[option] = value
    if not commands:
        return {known[key]: _as_typed(values[key]) for key in values if key in known}
    found = {}
    for name, child in commands.items():
        inner = table.get(name)
        own = inner if isinstance(inner, dict) else {}
        found[name] = _defaults(child, own, values, f"{prefix}{name}.")
    return found


def _options(command: Any) -> Iterator[tuple[str, str]]:
    """Long options of a command, or of all commands of a group, with the parameters' names."""
    if hasattr(command, "commands"):
        for child in command.commands.values():
            yield from _options(child)
        return
    for parameter in command.params:
        for name in parameter.opts:
            if name.startswith("--"):
                yield name[2:], parameter.name


def _as_typed(value: Any) -> Any:
    """A value as text, which Typer converts and checks as if it had been typed."""
    if isinstance(value, list):
        return [one if isinstance(one, list | dict) else str(one) for one in value]
    return str(value)


def origin(context: typer.Context, name: str) -> str | None:
    """Where a parameter's value comes from: a variable, or a key of the file; None: elsewhere."""
    source = context.get_parameter_source(name)
    parameter = next((one for one in context.command.params if one.name == name), None)
    if source is None or parameter is None:
        return None
    if source.name == "ENVIRONMENT":
        shared = parameter.envvar
        own = f"{context.auto_envvar_prefix}_{name.upper()}"
        return shared if isinstance(shared, str) and os.environ.get(shared) else own
    if source.name == "DEFAULT_MAP":
        return f"{max(parameter.opts, key=len).lstrip('-')} in {str(config_path())!r}"
    return None


def name_origins(error: CaflowError, context: typer.Context) -> None:
    """Add to an error where the options that it speaks of were set, if nobody typed them."""
    words = set(f"{error.message} {error.hint}".replace(",", " ").split())
    for parameter in context.command.params:
        if words & {*parameter.opts, parameter.name}:
            where = origin(context, parameter.name)
            error.message += f" ({where})" if where else ""


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
    else:
        console.text(_lines(_read_config(), ""))


def _lines(table: _Table, prefix: str) -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _lines(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} = {json.dumps(value, ensure_ascii=False, default=str)}"
