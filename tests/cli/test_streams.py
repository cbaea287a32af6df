"""Streams that are closed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .process import ENTRY


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess:
    """A shell command in which `$CAFLOW` is the program."""
    program = f"{sys.executable} -c '{ENTRY.replace(chr(39), chr(34))}'"
    return subprocess.run(
        ["bash", "-c", command.replace("caflow", program)],
        cwd=cwd,
        capture_output=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "100"},
    )


@pytest.mark.skipif(os.name == "nt", reason="POSIX shell")
@pytest.mark.parametrize(
    ("command", "codes", "stderr"),
    [
        ("caflow --help | true", "0", ""),
        ("caflow superres --help | true", "0", ""),
        ("caflow models list | true", "0", ""),
        ("caflow models list >&-", "1", "stdout is closed"),
        ("caflow superres 'none*' 2>&-", "2", ""),
        ("caflow superres 'none*' 2>&1 >/dev/null | true", "2", ""),
        ("caflow superres x.png -o - </dev/null >&-", "2", "terminal"),
    ],
)
def test_streams_that_are_closed(tmp_path, command, codes, stderr):
    done = shell(f"{command}; echo ${{PIPESTATUS[0]}} >code", tmp_path)
    assert (tmp_path / "code").read_text().split() == [codes]
    assert stderr in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert b"defect" not in done.stderr
    if not stderr:
        assert done.stderr == b""
