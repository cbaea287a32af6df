"""Streams that are closed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from caflow_cli.cli.console import Console

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
        ("caflow evaluate --reference . --metric rmse <&-", "2", "needs JSON lines on stdin"),
        ("caflow models list >/dev/full", "1", "cannot write to stdout: No space left"),
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


@pytest.mark.skipif(os.name == "nt", reason="POSIX shell")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_gets_the_number_of_a_closed_stream(tmp_path, closed):
    code = (
        "import caflow_cli.cli.app as program\n"
        "def app(**options):\n"
        "    with open('written', 'w') as file: file.write(str(file.fileno()))\n"
        "program.app = app; program.main()"
    )
    subprocess.run(
        ["bash", "-c", f'exec "$0" -c "$1" {closed}', sys.executable, code],
        cwd=tmp_path,
        timeout=60,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert int((tmp_path / "written").read_text()) > 2


def test_a_progress_display_that_is_off_is_not_started(monkeypatch):
    """Rich before 14.3 writes an empty line where one ends."""
    monkeypatch.setattr("rich.progress.Progress.stop", lambda _: pytest.fail("it ended"))
    with Console(quiet=True).progress() as progress:
        progress.advance(progress.add_task("x"))
