"""A user's defaults: a TOML file of option values, for all commands, for one, and models by task.

    device = "cuda"            # of every command that has --device

    [superres]                 # of one command; [models.list] of a command in a group
    candidates = 20

    [model]                    # by task, where --model and the environment name none
    superres = "photos-superres-x4"

An option goes before the environment, that before this file, and this file before the default.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import TASK_NAMES
from ..errors import EXIT_USAGE, CaflowError
from ..paths import is_file

if TYPE_CHECKING:
    from typer._click.core import Command, Context, Parameter

__all__ = ["MODELS", "apply_defaults", "config_path", "model_of_config", "read_table", "with_value"]

MODELS = "model"  # the table of models by task
_COUNTS = ("candidates", "keep", "noise-samples", "noise_samples")
_Table = dict[str, Any]


def config_path() -> Path:
    """Where the file is: `CAFLOW_CONFIG`, else in the platform's folder for configuration."""
    given = os.environ.get("CAFLOW_CONFIG")
    if given:
        return Path(given)
    if sys.platform == "win32":
        folder = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Application Support"
    else:
        folder = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return folder / "caflow" / "config.toml"


def read_table(text: str | None = None) -> _Table:
    """The values of the file, or of `text` in its place; none where there is no file.

    Raises:
        CaflowError: (exit 2) it cannot be read, or is not TOML; the message has the line.
    """
    path = config_path()
    if text is None:
        text = _text(path)
    if not text:
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        return tomllib.loads(text)
    except ValueError as error:
        line = re.search(r"at line (\d+)", str(error))
        end = text.count("\n") + 1
        raise _refusal(int(line[1]) if line else end, f"is not TOML: {error}", "mend it") from error


def _text(path: Path) -> str:
    if not is_file(path):
        return ""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CaflowError(
            f"cannot read {str(path)!r}: {reason}", "mend it, or remove it", EXIT_USAGE
        ) from error


def _refusal(line: int, what: str, hint: str) -> CaflowError:
    return CaflowError(f"line {line} of {str(config_path())!r} {what}", hint, EXIT_USAGE)


def model_of_config(task: str) -> str | None:
    """The model that the file names for a task; None: it names none."""
    table = read_table().get(MODELS, {})
    name = table.get(task) if isinstance(table, dict) else None
    return name if isinstance(name, str) else None


def apply_defaults(context: Context) -> None:
    """Make the file's values defaults of the commands below this one.

    Raises:
        CaflowError: (exit 2) as for `read_table`; or the file has a key or a value that no command
            takes; the message has the line.
    """
    table = read_table()
    if table:
        context.default_map = defaults_of(table, context)


def defaults_of(table: Mapping[str, Any], context: Context) -> MutableMapping[str, Any]:
    """The defaults that a table makes, by command and parameter, as Click takes them."""
    group = context.command
    commands = dict(_commands(group))
    found: dict[str, Any] = {}
    common = {key: value for key, value in table.items() if not isinstance(value, dict)}
    for key in common:
        if not any(_parameter(command, key) for command in commands.values()):
            raise _unknown((key,), "no command has this option", commands)
    _check_models(table.get(MODELS, {}))
    tables = dict(_tables({k: v for k, v in table.items() if k != MODELS}, commands))
    for words, command in commands.items():
        inner = found
        for word in words:
            inner = inner.setdefault(word, {})
        for key, value in {**common, **tables.get(words, {})}.items():
            parameter = _parameter(command, key)
            if parameter is not None:
                inner[str(parameter.name)] = _converted(words, key, value, parameter, context)
            elif key not in common:
                raise _unknown((*words, key), f"{' '.join(words)} has no such option", commands)
    return found


def _check_models(models: Any) -> None:
    if not isinstance(models, dict):
        raise _refusal(_line_of((MODELS,)), "has a model for no task", '[model] superres = "ID"')
    for task, name in models.items():
        if task not in TASK_NAMES or not isinstance(name, str):
            raise _refusal(
                _line_of((MODELS, task)),
                f"says {task} = {_toml(name)} in [{MODELS}]",
                f"{', '.join(TASK_NAMES)} = an id, a file or a repository, in quotes",
            )


def _commands(
    group: Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Command]]:
    for name, command in getattr(group, "commands", {}).items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*words, name))
        else:
            yield (*words, name), command


def _tables(
    table: Mapping[str, Any], commands: Mapping[tuple[str, ...], Command]
) -> Iterator[tuple[tuple[str, ...], _Table]]:
    """The tables of commands, by the words of each."""
    groups = {words[:k] for words in commands for k in range(1, len(words))}

    def walk(value: Mapping[str, Any], words: tuple[str, ...]) -> Iterator[Any]:
        for key, inner in value.items():
            if isinstance(inner, dict):
                path = (*words, key)
                if path in commands:
                    yield path, inner
                elif path in groups:
                    yield from walk(inner, path)
                else:
                    raise _unknown(path, "no command has this name", commands)

    yield from walk(table, ())


def _unknown(
    words: tuple[str, ...], what: str, commands: Mapping[tuple[str, ...], Command]
) -> CaflowError:
    import difflib

    own = commands.get(words[:-1])
    known = (
        _keys(own) if own is not None else sorted({k for c in commands.values() for k in _keys(c)})
    )
    if len(words) == 1:
        known = [*known, *(path[0] for path in commands), MODELS]
    near = difflib.get_close_matches(words[-1], known, n=1)
    hint = f"{near[0]} is one" if near else "caflow COMMAND --help lists the options"
    return _refusal(_line_of(words), f"has {'.'.join(words)}: {what}", hint)


def _keys(command: Command) -> list[str]:
    return [option[2:] for one in command.params for option in one.opts if option[:2] == "--"]


def _parameter(command: Command, key: str) -> Parameter | None:
    """The option of a command that a key names."""
    option = f"--{key.replace('_', '-')}"
    kept = (p for p in command.params if option in p.opts and not getattr(p, "is_eager", False))
    return next(kept, None)


def _converted(
    words: tuple[str, ...], key: str, value: Any, parameter: Parameter, context: Context
) -> Any:
    """The value as the option takes it."""
    try:
        many = getattr(parameter, "multiple", False)
        if many != isinstance(value, list) or isinstance(value, dict):
            raise ValueError("a list is wanted" if many else "one value is wanted")
        if getattr(parameter, "is_flag", False) and not isinstance(value, bool):
            raise ValueError("true or false is wanted")
        given = [
            str(one) if not isinstance(one, bool) else one for one in (value if many else [value])
        ]
        parameter.process_value(context, given if many else given[0])
        _check(key, given)
    except Exception as error:  # of Click's, or ours
        reason = getattr(error, "message", None) or error
        table = read_table().get(words[0], {})
        where = (*words, key) if isinstance(table, dict) and key in table else (key,)
        raise _refusal(
            _line_of(where), f"says {key} = {_toml(value)}: {reason}", "caflow COMMAND --help"
        ) from error
    return given if many else given[0]


def _check(key: str, values: list[Any]) -> None:
    """Refuse what an option that takes a text, or any number, would refuse only at work.

    CaflowError or ValueError; a value of `evaluate` may be a list with commas.
    """
    from ..sampling import check_rank
    from ..temperature import Temperature

    for one in (part for value in values for part in str(value).split(",")):
        if key == "tau":
            Temperature.of(one)
        elif key == "rank":
            check_rank(one)
        elif key in _COUNTS and int(one) < 1:
            raise ValueError("1 or more is wanted")


def _line_of(words: tuple[str, ...]) -> int:
    """The line of a key, or of a table; 1 where it is written in a way that is not looked for."""
    lines = _text(config_path()).splitlines()
    place = _find(lines, words)
    if place is None:
        place = next((k for k, line in enumerate(lines) if _header(line) == list(words)), 0)
    return place + 1


def _find(lines: list[str], words: tuple[str, ...]) -> int | None:
    """The line where a key is set."""
    table: list[str] = []
    for number, line in enumerate(lines):
        header = _header(line)
        if header is not None:
            table = header
        key = re.match(r"\s*([\w.\"-]+)\s*=", line)
        if key and [*table, *_parts(key[1])] == list(words):
            return number
    return None


def _header(line: str) -> list[str] | None:
    found = re.match(r"\s*\[([^\[\]]+)\]", line)
    return _parts(found[1]) if found else None


def _parts(dotted: str) -> list[str]:
    return [part.strip().strip('"') for part in dotted.split(".")]


def _toml(value: Any) -> str:
    # JSON's values are TOML's, but for escaped surrogates, and DEL.
    return json.dumps(value, ensure_ascii=False, default=str).replace("\x7f", "\\u007f")


def with_value(key: str, value: Any) -> str:
    """The text of the file with a value set, or with a key removed where it is None.

    All other lines, comments too, stay as they are.

    Args:
        key: Dotted: `device`, `superres.candidates`, `model.superres`.
        value: A string, number, boolean or list of them.

    Raises:
        CaflowError: (exit 2) a value stands there in a way that a line cannot replace, or, to
            remove, does not stand there.
    """
    *table, name = words = key.split(".")
    lines = _text(config_path()).splitlines()
    expected = _changed(read_table(), words, value)
    place = _find(lines, tuple(words))
    new = [] if value is None else [f"{name} = {_toml(value)}"]
    if place is not None:
        lines[place : place + 1] = new
    elif value is None:
        raise CaflowError(f"{key} is not set", "caflow config show", EXIT_USAGE)
    else:
        headers = [(k, _header(line)) for k, line in enumerate(lines) if _header(line) is not None]
        own = next((k for k, header in headers if header == table), None)
        if not table:
            at = headers[0][0] if headers else len(lines)
            lines[at:at] = [*new, ""] if headers else new
        elif own is None:
            lines += [*([""] if lines else []), f"[{'.'.join(table)}]", *new]
        else:
            lines[own + 1 : own + 1] = new
    text = "\n".join(lines) + "\n" if lines else ""
    try:
        same = read_table(text) == expected
    except CaflowError:
        same = False
    if not same:
        raise CaflowError(
            f"{key} cannot be changed line by line in {str(config_path())!r}",
            "edit the file",
            EXIT_USAGE,
        )
    return text


def _changed(table: _Table, words: list[str], value: Any) -> _Table:
    table = dict(table)
    if len(words) > 1:
        inner = table.get(words[0], {})
        table[words[0]] = _changed(inner if isinstance(inner, dict) else {}, words[1:], value)
    elif value is None:
        table.pop(words[0], None)
    else:
        table[words[0]] = value
    return table
