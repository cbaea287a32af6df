"""The house: files stay small, and imports go down, in no circle, never from the package itself."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from caflow_cli.guide_specs import GUIDES
from caflow_cli.tasks import TASKS

PACKAGE = Path(__file__).parents[1] / "caflow_cli"
PAGE = PACKAGE.parent / "docs" / "architecture.md"
# The floors, the ground first: a module imports only from its own room and from floors below.
FLOORS = [
    ["errors", "version", "paths", "lazy"],
    ["assets", "records"],
    ["guide_specs", "temperature"],
    ["config"],
    ["devices"],
    ["layers", "perceptual"],
    ["guides"],
    ["flows"],
    ["images"],
    ["fields", "ensembles"],
    ["data"],
    ["tasks"],
    ["names", "sampling"],
    ["checkpoint"],
    ["model"],
    ["damage"],
    ["restoration"],
    ["training", "evaluation"],
    ["intervals", "lines"],
    ["hub"],
    ["app"],
    ["cli"],
]
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
# These load names from anywhere, on demand; no other module of the package imports them.
FACES = {"caflow_cli", "caflow_cli.__main__"}
House = dict[str, tuple[str, bool]]  # source by dotted name, and whether it is a package


def modules() -> House:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = (PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        found[name] = path.read_text(encoding="utf-8"), is_package
    return found


HOUSE = modules()


def imports(house: House, module: str) -> list[str]:
    """Dotted names of what a module imports of the package, lazily or for type checkers too."""
    source, is_package = house[module]
    package = module.split(".") if is_package else module.split(".")[:-1]
    targets: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            targets += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            targets += [".".join([*base, alias.name]) for alias in node.names]
    return [target for target in targets if target.split(".")[0] == PACKAGE.name]


def breaches(house: House) -> list[str]:
    """Upward imports, and imports of the package's face."""
    found = []
    for module in house.keys() - FACES:
        room = module.split(".")[1]
        for target in imports(house, module):
            other = f"{target}.".split(".")[1]
            if other not in FLOOR or (other != room and FLOOR[other] >= FLOOR[room]):
                found.append(f"{module} imports {target}")
    return found


def circles(house: House) -> list[str]:
    edges: dict[str, set[str]] = {}
    for module in house.keys() - FACES:
        edges[module] = set()
        for name in imports(house, module):
            while name and name not in house:  # a name of a module
                name = name.rpartition(".")[0]
            edges[module] |= {name} - FACES - {module, ""}
    found, done = [], set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            found.append(" -> ".join([*path[path.index(module) :], module]))
        elif module not in done:
            done.add(module)
            for other in sorted(edges.get(module, ())):
                visit(other, [*path, module])

    for module in edges:
        visit(module, [])
    return found


def test_imports_go_down_in_no_circle_and_leave_the_face_alone():
    assert {module.split(".")[1] for module in HOUSE.keys() - FACES} == FLOOR.keys()
    assert breaches(HOUSE) == []
    assert circles(HOUSE) == []


def test_metrics_need_nothing_of_an_evaluation():
    room = "caflow_cli.evaluation.metrics"
    for module in HOUSE:
        if module.startswith(room):
            climbs = [
                name
                for name in imports(HOUSE, module)
                if name.startswith("caflow_cli.evaluation.") and not name.startswith(room)
            ]
            assert climbs == [], module


@pytest.mark.parametrize(
    "line",
    [
        "from ..training import train",
        "import caflow_cli.training.loop as loop",
        "def f():\n    from .. import training",
        "if TYPE_CHECKING:\n    from ..training import train",
        "from caflow_cli import CAFlow",
    ],
)
def test_planted_breaches_are_seen(line):
    assert len(breaches({"caflow_cli.tasks.superres": (line, False)})) == 1


def test_a_planted_circle_is_seen():
    house = {
        "caflow_cli.model.a": ("from .b import f", False),
        "caflow_cli.model.b": ("def f():\n    from ..model.a import g", False),
    }
    assert len(circles(house)) == 1


def test_class_variables_have_a_type_because_python_3_10_does_not_read_others():
    bare = [name for name, (source, _) in HOUSE.items() if re.search(r": ClassVar\b(?!\[)", source)]
    assert bare == []


def test_files_are_small():
    lines = {name: len(source.splitlines()) for name, (source, _) in HOUSE.items()}
    assert {name: number for name, number in lines.items() if number > 400} == {}


def test_functions_are_short():
    long = {}
    for module, (source, _) in HOUSE.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = node.end_lineno - node.lineno + 1  # with its docstring
                if lines > 80:
                    long[f"{module}.{node.name}"] = lines
    assert long == {}


def test_one_line_assigns_one_value():
    """`a, b = x, y` is for true pairs: at most 3 % of assignments."""
    parallel = []
    count = 0
    for module, (source, _) in HOUSE.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Assign):
                count += 1
                if isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
                    parallel.append(f"{module}:{node.lineno}")
    assert len(parallel) <= 0.03 * count, parallel


def told_apart(names: set[str], room: str) -> list[str]:
    """Where modules outside of a room compare or import these names."""
    found = []
    for module, (source, _) in HOUSE.items():
        for node in ast.walk(ast.parse(source)):
            words: set[object] = set()
            does = "imports"
            if isinstance(node, ast.Compare):
                words = {part.value for part in ast.walk(node) if isinstance(part, ast.Constant)}
                does = "compares"
            elif isinstance(node, ast.ImportFrom):
                words = {alias.name for alias in node.names}
            if f".{room}" not in module:
                found += [f"{module} {does} {word}" for word in words & names]
    return sorted(found)


def test_tasks_are_not_told_apart_outside_of_their_room():
    """A task describes itself: other rooms compare no names and know no classes."""
    classes = {task.__name__ for task in TASKS.values()}
    checks = told_apart(TASKS.keys() | classes, "tasks")
    assert len(checks) <= 10, checks


def test_guides_are_not_told_apart_outside_of_their_room():
    """A guide describes itself in `guide_specs`, which all rooms ask."""
    nets = GUIDES.keys() - {"none"}
    classes = {
        node.name
        for net in nets
        for node in ast.parse(HOUSE[f"caflow_cli.guides.{net}"][0]).body
        if isinstance(node, ast.ClassDef)
    }
    assert told_apart(nets | classes, "guides") == [
        "caflow_cli.tasks compares compact",  # the preset of that name
        "caflow_cli.training.external imports External",
        "caflow_cli.training.loop imports External",
    ]


def test_the_page_shows_the_floors():
    floors = "\n".join("   ".join(rooms) for rooms in reversed(FLOORS))
    assert f"```text\n{floors}\n```\n" in PAGE.read_text(encoding="utf-8")
