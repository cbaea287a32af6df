"""The house: imports go down, in no circle, and nobody imports the face of the package."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "caflow_cli"
PAGE = PACKAGE.parent / "docs" / "architecture.md"
# The floors, the ground first: a module imports only from its own room and from floors below.
FLOORS = [
    ["errors", "version", "paths", "lazy"],
    ["assets", "temperature", "records"],
    ["config"],
    ["devices"],
    ["layers", "perceptual"],
    ["flows"],
    ["images"],
    ["data"],
    ["model"],
    ["tasks"],
    ["sampling"],
    ["inference"],
    ["training", "evaluation"],
    ["hub"],
    ["app"],
    ["cli"],
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# The package's own files hand names out on demand, from anywhere; nobody imports them.
FACES = {"caflow_cli", "caflow_cli.__main__"}


class Import(NamedTuple):
    """The modules, or names of modules, that a module imports anywhere."""

    module: str  # who
    line: int
    target: str  # dotted, absolute
    eager: bool  # as the module is loaded; else within a function, or for type checkers alone


@functools.cache
def imports(source: str, module: str, is_package: bool) -> list[Import]:
    """All imports of the package's own modules. `module` is its dotted name."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    tree = ast.parse(source)
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        for inner in ast.walk(node)
    }
    found = []
    for node in ast.walk(tree):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            targets = [".".join([*base, alias.name]) for alias in node.names]
        for target in targets:
            if target.split(".")[0] == PACKAGE.name:
                found.append(Import(module, node.lineno, target, id(node) not in lazy))
    return found


def modules() -> dict[str, tuple[str, bool]]:
    """Source of every module by its dotted name, and whether it is a package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = (PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        found[name] = path.read_text(encoding="utf-8"), is_package
    return found


def room(module: str) -> str:
    return module.split(".")[1]


def breaches(house: dict[str, tuple[str, bool]]) -> list[str]:
    """Upward imports, and imports of the package's face."""
    found = []
    for module, (source, is_package) in house.items():
        if module in FACES:
            continue
        for one in imports(source, module, is_package):
            parts = one.target.split(".")
            if len(parts) < 2 or parts[1] not in FLOOR:
                found.append(f"{module}:{one.line} imports the package's face")
            elif parts[1] != room(module) and FLOOR[parts[1]] >= FLOOR[room(module)]:
                found.append(f"{module}:{one.line} climbs to {parts[1]}")
    return found


def circles(house: dict[str, tuple[str, bool]]) -> list[str]:
    """Circles of modules, by imports of any kind, lazy ones and those for type checkers too.

    A package that hands names of its own modules out on demand is none: nothing in it imports it.
    """
    edges: dict[str, set[str]] = {}
    for module, (source, is_package) in house.items():
        if module in FACES:
            continue
        edges[module] = set()
        for one in imports(source, module, is_package):
            name = one.target
            while name and name not in house:  # a name of a module
                name = name.rpartition(".")[0]
            if name and name != module and name not in FACES:
                edges[module].add(name)
    found, done = [], set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            found.append(" -> ".join([*path[path.index(module) :], module]))
            return
        if module in done:
            return
        for other in sorted(edges.get(module, ())):
            visit(other, [*path, module])
        done.add(module)

    for module in edges:
        visit(module, [])
    return found


HOUSE = modules()


def test_every_room_has_a_floor():
    rooms = {room(module) for module in HOUSE if module not in FACES}
    assert rooms == FLOOR.keys()


def test_imports_go_down_and_leave_the_face_alone():
    assert breaches(HOUSE) == []


def test_nothing_imports_in_a_circle():
    assert circles(HOUSE) == []


@pytest.mark.parametrize(
    "line",
    [
        "from ..training import train",
        "import caflow_cli.training.loop as loop",
        "from caflow_cli import training",
        "def f():\n    from .. import training",
        "if TYPE_CHECKING:\n    from ..training import train",
    ],
)
def test_a_planted_climb_is_seen(line):
    assert len(breaches({"caflow_cli.tasks.superres": (line, False)})) == 1
    assert breaches({"caflow_cli.cli.train": (line, False)}) == []


def test_planted_neighbours_faces_and_circles_are_seen():
    line = "from ..evaluation import evaluate"
    assert len(breaches({"caflow_cli.training.loop": (line, False)})) == 1
    for line in ("from .. import __version__", "from caflow_cli import CAFlow"):
        assert len(breaches({"caflow_cli.hub.push": (line, False)})) == 1
    house = {
        "caflow_cli.model.a": ("from .b import f", False),
        "caflow_cli.model.b": ("from ..model.c import g", False),
        "caflow_cli.model.c": ("def f():\n    from .a import h", False),
    }
    assert len(circles(house)) == 1
    house["caflow_cli.model.c"] = ("", False)
    assert circles(house) == []


def floors() -> str:
    """The floors as text, the top one first."""
    return "\n".join("   ".join(rooms) for rooms in reversed(FLOORS))


def test_the_page_shows_the_floors():
    """Drawn into `docs/architecture.md`; to draw anew: python tests/test_house.py"""
    page = PAGE.read_text(encoding="utf-8")
    assert drawn(page) == page, "python tests/test_house.py draws them anew"


def drawn(page: str) -> str:
    begin, end = "<!-- floors:begin -->\n", "<!-- floors:end -->"
    head, _, rest = page.partition(begin)
    assert rest, f"{PAGE.name} has no {begin.strip()}"
    return f"{head}{begin}```text\n{floors()}\n```\n{end}{rest.partition(end)[2]}"


def test_importing_the_package_imports_no_torch():
    code = "import sys, caflow_cli; print(caflow_cli.__version__, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent, check=True
    )
    version, has_torch = done.stdout.split()
    assert version[0].isdigit()
    assert has_torch == "False"


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
