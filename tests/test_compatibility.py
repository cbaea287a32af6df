"""The versions that pyproject.toml states are true, and are stated once."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SOURCES = sorted((ROOT / "caflow_cli").rglob("*.py"))


def test_the_standard_library_is_that_of_the_least_python():
    """By vermin, which knows when what came; dependencies stand in for `tomllib` and `Unpack`."""
    done = subprocess.run(
        [sys.executable, "-c", "import vermin; vermin.main()", "-t=3.10-", "--no-tips",
         "--violations", "--exclude", "tomllib", "--exclude", "typing.Unpack",
         "--processes", "1", str(ROOT / "caflow_cli")],
        capture_output=True,
        text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


NAMES = {"cv2": "opencv-python-headless"}  # where that is not installed


def test_what_is_imported_is_declared():
    """Every module of others that the package imports belongs to a dependency that is named."""
    declared = {Requirement(text).name for text in PROJECT["project"]["dependencies"]}
    extras = PROJECT["project"]["optional-dependencies"]
    for extra in extras.keys() - {"dev", "docs", "scale"}:  # what users install
        declared |= {Requirement(text).name for text in extras[extra]}
    names = {re.sub("[-_.]+", "-", name).lower() for name in declared}
    owners = importlib.metadata.packages_distributions()
    undeclared = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            for top in {m.partition(".")[0] for m in modules}:
                if top in sys.stdlib_module_names or top in ("caflow_cli", "tomli"):
                    continue
                found = {
                    re.sub("[-_.]+", "-", o).lower() for o in owners.get(top, [NAMES.get(top, top)])
                }
                if not found & names:
                    undeclared.setdefault(top, []).append(path.name)
    assert undeclared == {}
