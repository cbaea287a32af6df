"""Running the program in this process: no second import of torch, the same streams and codes."""

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from caflow_cli.cli import main
from caflow_cli.cli.app import program as root
from caflow_cli.cli.console import Console


@dataclass(frozen=True)
class Result:
    """As of `subprocess.run`, so that assertions serve both."""

    returncode: int
    stdout: bytes
    stderr: bytes


Program = Callable[..., Result]


def program(folder: Path) -> Program:
    """`run(*arguments, stdin=b"", **environment)` in `folder`."""
    return partial(captured, folder)


def captured(
    folder: Path,
    *arguments: object,
    stdin: bytes = b"",
    terminal: bool = False,
    screen: bool = False,
    **environment: str,
) -> Result:
    """The program in `folder`; stderr is a terminal, or stdout a screen, if said so."""
    out, err = (  # with the error handlers of the interpreter's own streams
        io.TextIOWrapper(io.BytesIO(), "utf-8", errors, write_through=True)
        for errors in ("strict", "backslashreplace")
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(err, "isatty", lambda: terminal)
        patch.setattr(out, "isatty", lambda: screen)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setattr(Console, "prefix", "")  # which `main` sets in a pipe
        patch.setattr(sys, "argv", ["caflow", *map(str, arguments)])
        patch.chdir(folder)
        for name, value in {"COLUMNS": "100", **environment}.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as caught:
            main()
    return Result(caught.value.code, out.buffer.getvalue(), err.buffer.getvalue())


def command_paths() -> list[list[str]]:
    """The words of every command: `["models", "list"]`."""
    return [
        [name, *child]
        for name, command in root.commands.items()
        for child in ([[c] for c in command.commands] if hasattr(command, "commands") else [[]])
    ]
