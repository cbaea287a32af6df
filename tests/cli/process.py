"""Running the program as users do, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ENTRY = "import sys; sys.argv[0] = 'caflow'; from caflow_cli.cli import main; main()"


def caflow(
    *arguments: object,
    cwd: Path,
    stdin: bytes | None = None,
    timeout: float = 120,
    **environment: str,
):
    """Run `caflow` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", ENTRY, *map(str, arguments)],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        env={**os.environ, "COLUMNS": "100", "OMP_NUM_THREADS": "1", **environment},
        timeout=timeout,
    )


def assert_refused(result, exit_code: int, message: str) -> None:
    """One `error:` line, one `hint:` line, nothing on stdout, no traceback."""
    lines = result.stderr.decode().splitlines()
    assert result.returncode == exit_code, lines
    assert [line.split(":")[0] for line in lines] == ["error", "hint"], lines
    assert message in lines[0]
    assert "this is a defect" not in lines[1]
    assert len(lines[1]) > len("hint: ")
    assert result.stdout == b""
