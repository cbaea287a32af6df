"""Running the program as users do, in a process of its own."""

import os
import re
from pathlib import Path

import forked

ENTRY = "import sys; sys.argv[0] = 'caflow'; from caflow_cli.cli import main; main()"
# The same of the package in the folder that it runs in (`forked` has imported another).
ANEW = f"""import sys
for name in [name for name in sys.modules if name.startswith("caflow_cli")]:
    del sys.modules[name]
{ENTRY}"""


def caflow(
    *arguments: object,
    cwd: Path,
    stdin: bytes = b"",
    timeout: float = 300,
    **environment: str,
):
    """Run `caflow` in a process of its own."""
    env = {**os.environ, "COLUMNS": "100", **environment}
    return forked.run(ENTRY, *arguments, cwd=cwd, stdin=stdin, env=env, timeout=timeout)


def assert_refused(result, exit_code: int, message: str) -> None:
    """One `error:` line, one `hint:` line, nothing on stdout, no traceback.

    In a pipe, lines begin with the command.
    """
    lines = re.sub("(?m)^[a-z]+: (?=error:|hint:)", "", result.stderr.decode()).splitlines()
    assert result.returncode == exit_code, lines
    assert [line.split(":")[0] for line in lines] == ["error", "hint"], lines
    assert message in lines[0]
    assert "this is a bug" not in lines[1]
    assert len(lines[1]) > len("hint: ")
    assert result.stdout == b""
