"""The schema of JSON lines accepts and refuses what it did: `lines.json` has lines and verdicts.

For every line, and for every change of it (one field dropped, one added, a number negated, a text
misspelled), the file says whether the schema accepts it: a text of 0 and 1.
"""

from __future__ import annotations

import functools
import json
import operator
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
        value = functools.reduce(operator.getitem, path, line)
        if path:
            yield changed(line, path)
        if isinstance(value, dict):
            yield changed(line, path, {**value, "surprise": 1})
        elif isinstance(value, bool):
            yield changed(line, path, not value)
        elif isinstance(value, int | float):
            yield changed(line, path, -value)
        elif isinstance(value, str):
            yield changed(line, path, f"{value}x")


def changed(whole: Any, path: tuple[Any, ...], *value: Any) -> Any:
    """A copy with another value at a path, or with none; it shares the rest."""
    if not path:
        return value[0]
    whole, (key, *rest) = whole.copy(), path
    if rest or value:
        whole[key] = changed(whole[key], tuple(rest), *value)
    else:
        del whole[key]
    return whole


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
