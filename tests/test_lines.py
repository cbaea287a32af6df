"""The schema of JSON lines is what the types of lines say."""

import json
import runpy
from pathlib import Path

import jsonschema

from caflow_cli.assets import ASSETS
from caflow_cli.lines import LINES
from caflow_cli.version import SCHEMA

ROOT = Path(__file__).parents[1]
FILE = ASSETS / "schema" / "lines.schema.json"


def test_the_file_is_what_the_types_say():
    """`python .ci/schema` writes it."""
    made = runpy.run_path(str(ROOT / ".ci" / "schema"))["schema"]()
    assert json.loads(FILE.read_text(encoding="utf-8")) == made
    jsonschema.Draft202012Validator.check_schema(made)


def test_a_line_has_all_its_fields_and_no_others():
    schema = json.loads(FILE.read_text(encoding="utf-8"))
    assert len(schema["oneOf"]) == len(LINES)
    validator = jsonschema.Draft202012Validator(schema)
    error = {"code": 3, "message": "a", "hint": "b"}
    line = {"schema": SCHEMA, "command": "models pull", "input": "x", "status": "error"}
    line["error"] = error
    assert validator.is_valid(line)
    others = [{**line, "more": 1}, {**line, "schema": SCHEMA - 1}, {**line, "input": None}]
    others += [{**line, "error": {**error, "code": 7}}, {**line, "command": "models push"}]
    others += [{key: value for key, value in line.items() if key != name} for name in line]
    assert not any(map(validator.is_valid, others))
