"""The versions that pyproject.toml states are true, and are stated once."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LEAST = (3, 10)
SOURCES = sorted((ROOT / "caflow_cli").rglob("*.py"))


def test_the_least_python_is_the_same_everywhere():
    wanted = f"{LEAST[0]}.{LEAST[1]}"
    assert SpecifierSet(PROJECT["project"]["requires-python"]) == SpecifierSet(f">={wanted}")
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{LEAST[0]}{LEAST[1]}"
    named = {c.rpartition(" ")[2] for c in PROJECT["project"]["classifiers"] if "3." in c}
    assert named == {"3.10", "3.11", "3.12", "3.13"}


def test_the_standard_library_is_that_of_the_least_python():
    """By vermin, which knows when what came; `tomllib` has its stand-in in the dependencies."""
    done = subprocess.run(
        [sys.executable, "-c", "import vermin; vermin.main()", "-t=3.10-", "--no-tips",
         "--violations", "--exclude", "tomllib", "--processes", "1", str(ROOT / "caflow_cli")],
        capture_output=True,
        text=True,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


NAMES = {"cv2": "opencv-python-headless"}  # where that is not installed


def test_what_is_imported_is_declared():
    """Every module of others that the package imports belongs to a dependency that is named."""
    declared = {Requirement(text).name for text in PROJECT["project"]["dependencies"]}
    extras = PROJECT["project"]["optional-dependencies"]
    for extra in ("tensorboard", "trackio", "classical", "data", "app"):
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


@pytest.mark.parametrize("text", PROJECT["project"]["dependencies"])
def test_every_dependency_has_a_least_version_and_this_one_is_in_range(text):
    requirement = Requirement(text)
    if requirement.marker is not None and not requirement.marker.evaluate():
        return
    assert any(spec.operator == ">=" for spec in requirement.specifier), text
    installed = importlib.metadata.version(requirement.name)
    assert requirement.specifier.contains(installed, prereleases=True), installed
