"""Running the program in this process: no second import of torch, the same streams and codes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from caflow_cli.cli import main


@dataclass(frozen=True)
class Result:
    """As of `subprocess.run`, so that assertions serve both."""

    returncode: int
    stdout: bytes
    stderr: bytes


Program = Callable[..., Result]


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, capture) -> Program:
    """`run(*arguments, **environment)` in `folder`; `capture` is the fixture `capfdbinary`."""

    def run(*arguments: object, **environment: str) -> Result:
        capture.readouterr()
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["caflow", *map(str, arguments)])
            for name, value in {"COLUMNS": "100", **environment}.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as caught:
                main()
        out, err = capture.readouterr()
        return Result(caught.value.code, out, err)

    return run
