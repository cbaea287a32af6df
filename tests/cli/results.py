"""Reading what the program printed."""

import json

import jsonschema

from caflow_cli.assets import ASSETS

SCHEMA = json.loads((ASSETS / "schema" / "lines.schema.json").read_text(encoding="utf-8"))


def records(result) -> list[dict]:
    """The JSON lines."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def only_record(result) -> dict:
    """The JSON line of a success that has but one, valid by the schema."""
    assert result.returncode == 0, result.stderr
    (record,) = lines_of(result)
    return record


def lines_of(result) -> list[dict]:
    """The JSON lines, each valid by the schema."""
    lines = records(result)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for line in lines:
        best = jsonschema.exceptions.best_match(validator.iter_errors(line))
        assert best is None, f"{best.message} at {best.json_path}"
    return lines


def text_of(result) -> str:
    """The text of a success without a word on stderr."""
    assert result.returncode == 0, result.stderr
    assert result.stderr == b""
    return result.stdout.decode()
