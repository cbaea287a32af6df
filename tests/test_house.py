from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "caflow_cli"
# A module imports only from those before it. `assets` is a leaf: anyone may use it.
ORDER = [
    "errors",
    "version",
    "paths",
    "assets",
    "config",
    "devices",
    "layers",
    "flows",
    "images",
    "data",
    "checkpoint",
    "model",
    "tasks",
    "sampling",
    "inference",
    "training",
    "evaluation",
    "hub",
    "cli",
]
# The public face hands names out on demand, from anywhere.
FACES = {"__init__", "__main__"}


def imports(source: str, module: tuple[str, ...], is_package: bool) -> Iterator[tuple[int, str]]:
    """(line, top-level part of the package) of every import of the package, however nested.

    `module` is its dotted name in parts, `("caflow_cli", "flows", "scale")`. The package itself
    comes out as "".
    """
    package = module if is_package else module[:-1]
    for node in ast.walk(ast.parse(source)):
        targets: list[tuple[str, ...]] = []
        if isinstance(node, ast.Import):
            targets = [tuple(alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base += tuple(node.module.split(".")) if node.module else ()
            # `from caflow_cli import flows` may name a module or an attribute of the package.
            targets = [(*base, alias.name) for alias in node.names]
        for target in targets:
            if target[0] == PACKAGE.name:
                part = target[1] if len(target) > 1 else ""
                yield node.lineno, part if part in ORDER else ""


def breaches(source: str, module: tuple[str, ...], is_package: bool) -> list[str]:
    own = module[1]
    return [
        f"{'.'.join(module)}:{line} imports {part or 'the package'}"
        for line, part in imports(source, module, is_package)
        if part and part != own and ORDER.index(part) > ORDER.index(own)
    ]


def modules() -> list[tuple[Path, tuple[str, ...], bool]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = (PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        found.append((path, parts[:-1] if is_package else parts, is_package))
    return found


def test_every_module_has_a_place_in_the_order():
    tops = {module[1] for _, module, _ in modules() if len(module) > 1}
    assert tops - set(ORDER) - FACES == set()


def test_modules_import_only_from_those_above():
    found = [
        breach
        for path, module, is_package in modules()
        if len(module) > 1 and module[1] not in FACES
        for breach in breaches(path.read_text(encoding="utf-8"), module, is_package)
    ]
    assert found == []


def test_assets_import_errors_only():
    path = PACKAGE / "assets" / "__init__.py"
    parts = {
        part
        for _, part in imports(path.read_text(encoding="utf-8"), ("caflow_cli", "assets"), True)
    }
    assert parts == {"errors"}


@pytest.mark.parametrize(
    "line",
    [
        "from ..training import train",
        "from .. import training",
        "from ..training.loop import train",
        "import caflow_cli.training",
        "import caflow_cli.training.loop as loop",
        "from caflow_cli.training import train",
        "from caflow_cli import training",
        "def f():\n    from ..training import train",
        "if TYPE_CHECKING:\n    from ..training import train",
    ],
)
def test_the_check_sees_imports_of_every_form(line):
    assert len(breaches(line, ("caflow_cli", "tasks", "superres"), False)) == 1
    assert len(breaches(line, ("caflow_cli", "tasks"), True)) == 1
    assert breaches(line, ("caflow_cli", "cli", "train"), False) == []


def test_the_check_sees_relative_imports_of_packages_and_files():
    assert len(breaches("from ..cli import main", ("caflow_cli", "tasks"), True)) == 1
    assert len(breaches("from .cli import main", ("caflow_cli", "images"), False)) == 1
    assert breaches("from .base import pad", ("caflow_cli", "tasks"), True) == []
    assert breaches("from . import __version__", ("caflow_cli", "images"), False) == []


def test_importing_the_package_imports_no_torch():
    code = "import sys, caflow_cli; print(caflow_cli.__version__, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True
    )
    version, has_torch = done.stdout.split()
    assert version[0].isdigit()
    assert has_torch == "False"
