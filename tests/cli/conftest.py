"""Fixtures of the command line's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from .inprocess import Program, program


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary) -> Program:
    """The program in this process, in `tmp_path`."""
    return program(tmp_path, monkeypatch, capfdbinary)
