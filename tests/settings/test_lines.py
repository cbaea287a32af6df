"""The schema of JSON lines accepts and refuses what it did: `lines.json` has lines and verdicts.

For every line, and for every change of it (one field dropped, one added, a number negated, a text
misspelled), the file says whether the schema accepts it: a text of 0 and 1.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ..cli.results import SCHEMA

FILE = Path(__file__).with_name("lines.json")
LINES: list[dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value within a line, that of the line first."""
    yield path
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(part, (*path, key))


def changes(line: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The line, and all its changes."""
    yield line
    for path in places(line):
        for change in ("dropped", "added", "changed"):
            changed = copy.deepcopy(line)
            parent: Any = changed
            for key in path[:-1]:
                parent = parent[key]
            value = parent[path[-1]] if path else changed
            if change == "added" and isinstance(value, dict):
                value["surprise"] = 1
            elif change == "dropped" and path:
                del parent[path[-1]]
            elif change == "changed" and isinstance(value, bool):
                parent[path[-1]] = not value
            elif change == "changed" and isinstance(value, int | float):
                parent[path[-1]] = -value
            elif change == "changed" and isinstance(value, str):
                parent[path[-1]] = f"{value}x"
            else:
                continue
            yield changed


def verdicts(line: dict[str, Any]) -> str:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return "".join(str(int(validator.is_valid(change))) for change in changes(line))


@pytest.mark.parametrize("case", LINES, ids=lambda case: case["line"].get("command"))
def test_a_line_and_its_changes_are_accepted_or_refused_as_before(case):
    assert case["accepted"].startswith("1")
    assert verdicts(case["line"]) == case["accepted"]


def test_there_is_a_line_of_every_kind():
    validators = {
        kind["$ref"]: jsonschema.Draft202012Validator({**SCHEMA, "oneOf": [kind]})
        for kind in SCHEMA["oneOf"]
    }
    for name, validator in validators.items():
        assert any(validator.is_valid(case["line"]) for case in LINES), name
