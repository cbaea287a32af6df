"""All subcommands of `caflow models`."""

from __future__ import annotations

import subprocess
import sys

from .entry import ID


def test_models_commands_import_no_torch(tmp_path):
    probe = (
        "import sys\n"
        "from caflow_cli.cli import main\n"
        f"for words in (['list'], ['info', {ID!r}], ['path', {ID!r}], ['verify']):\n"
        "    sys.argv = ['caflow', 'models', *words]\n"
        "    try: main()\n"
        "    except SystemExit as e: print(e.code, 'torch' in sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stderr.split() == ["0", "False"] * 4
