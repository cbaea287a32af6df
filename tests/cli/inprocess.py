"""Running the program in this process: no second import of torch, the same streams and codes.

Commands that only use a model share it with those before them that used the same file.
"""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main

from caflow_cli.cli import main
from caflow_cli.cli.app import app
from caflow_cli.model import CAFlow


@dataclass(frozen=True)
class Result:
    """As of `subprocess.run`, so that assertions serve both."""

    returncode: int
    stdout: bytes
    stderr: bytes


Program = Callable[..., Result]

_USERS = {"superres", "colorize", "inpaint", "sample", "score", "evaluate"}
_MODELS: dict[str, CAFlow] = {}  # by the digest of their file, the last used at the end
_load = CAFlow.load


def _remembered(path: Path) -> CAFlow:
    """The model of a file, loaded once while few others are."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    model = _MODELS.pop(digest, None) or _load(path)
    _MODELS[digest] = model
    if len(_MODELS) > 6:
        del _MODELS[next(iter(_MODELS))]
    return model


def _share_models(patch: pytest.MonkeyPatch, arguments: tuple[object, ...]) -> None:
    if arguments and arguments[0] in _USERS and "--compile" not in arguments:
        patch.setattr(CAFlow, "load", _remembered)


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, capture) -> Program:
    """`run(*arguments, **environment)` in `folder`; `capture` is the fixture `capfdbinary`."""

    def run(*arguments: object, **environment: str) -> Result:
        capture.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["caflow", *map(str, arguments)])
            _share_models(patch, arguments)
            for name, value in {"COLUMNS": "100", **environment}.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as caught:
                main()
        out, err = capture.readouterr()
        return Result(caught.value.code, out, err)

    return run


def captured(folder: Path, *arguments: object, **environment: str) -> Result:
    """The program in `folder`, for fixtures that live longer than a test; no stdin."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(), "utf-8"))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setattr(sys, "argv", ["caflow", *map(str, arguments)])
        _share_models(patch, arguments)
        patch.chdir(folder)
        for name, value in {"COLUMNS": "100", **environment}.items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as caught:
            main()
    return Result(caught.value.code, out.buffer.getvalue(), err.buffer.getvalue())


def command_paths() -> list[list[str]]:
    """The words of every command: `["models", "list"]`."""
    commands = typer.main.get_command(app).commands
    return [
        [name, *child]
        for name, command in commands.items()
        for child in ([[c] for c in command.commands] if hasattr(command, "commands") else [[]])
    ]
