"""A user's file of defaults, as Click's `default_map`.

    device = "cuda"            # of every command that has --device

    [superres]                 # of one command; [models.list] of a command in a group
    candidates = 20

What is typed goes before the environment (`CAFLOW_SUPERRES_CANDIDATES`), the environment before
this file, and this file before the built-in default.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from ..errors import EXIT_USAGE, CaflowError
from ..paths import is_file

__all__ = ["config_path", "defaults", "name_origins", "origin", "read_config", "read_toml"]


def config_path() -> Path:
    """Where the file is: `CAFLOW_CONFIG`, else in the platform's folder for configuration."""
    given = os.environ.get("CAFLOW_CONFIG")
    return Path(given) if given else Path(typer.get_app_dir("caflow"), "config.toml")


def read_toml(path: str | Path) -> dict[str, Any]:
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
    raise CaflowError(f"{str(path)!r} {reason}", "fix the file, or leave it out", EXIT_USAGE)


def read_config() -> dict[str, Any]:
    """The user's file as it is; empty if there is none. CaflowError as `read_toml`."""
    path = config_path()
    return read_toml(path) if is_file(path) else {}


def defaults(group: Any) -> dict[str, Any]:
    """The file's values by command and parameter, for `Context.default_map`.

    Args:
        group: The program's command, a Typer group.

    Raises:
        CaflowError: (exit 2) as `read_config`; or no command has an option that the file names.
    """
    return _defaults(group, read_config(), {}, "")


def _defaults(
    command: Any, table: Mapping[str, Any], outer: Mapping[str, Any], prefix: str
) -> dict[str, Any]:
    """The values of one command, or of all commands of a group; `outer` are those of its groups."""
    commands = getattr(command, "commands", {})
    known = _options(command)
    own = {key.replace("_", "-"): value for key, value in table.items() if key not in commands}
    for key, value in own.items():
        if key not in known or isinstance(value, dict):
            near = difflib.get_close_matches(key, [*known, *commands], n=1)
            raise CaflowError(
                f"{str(config_path())!r} sets {prefix}{key}, which is no "
                + ("command" if isinstance(value, dict) else "option"),
                f"{prefix}{near[0]}" if near else "caflow COMMAND --help lists the options",
                EXIT_USAGE,
            )
    values = {**outer, **own}
    if not commands:
        return {known[key]: _as_typed(values[key]) for key in values if key in known}
    for name in commands:
        if not isinstance(table.get(name, {}), dict):
            raise CaflowError(
                f"{str(config_path())!r} sets {prefix}{name}, which is a command",
                f"[{prefix}{name}] above its options",
                EXIT_USAGE,
            )
    return {
        name: _defaults(child, table.get(name, {}), values, f"{prefix}{name}.")
        for name, child in commands.items()
    }


def _options(command: Any) -> dict[str, str]:
    """Long options of a command, or of all commands of a group, with the parameters' names."""
    commands = getattr(command, "commands", None)
    if commands is not None:
        return {key: name for child in commands.values() for key, name in _options(child).items()}
    return {o[2:]: one.name for one in command.params for o in one.opts if o.startswith("--")}


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
