"""Reading what the program printed."""

import json

import jsonschema

from caflow_cli.assets import ASSETS

SCHEMA = json.loads((ASSETS / "schema" / "lines.schema.json").read_text(encoding="utf-8"))


def records(result) -> list[dict]:
    """The JSON lines."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def check(record: dict) -> None:
    """A record is valid by the schema."""
    errors = jsonschema.Draft202012Validator(SCHEMA).iter_errors(record)
    best = jsonschema.exceptions.best_match(errors)
    assert best is None, f"{best.message} at {best.json_path}"


def only_record(result) -> dict:
    """The JSON line of a success that has but one, valid by the schema."""
    assert result.returncode == 0, result.stderr
    (record,) = records(result)
    if record["command"] not in ("evaluate", "train"):  # which the schema does not describe
        check(record)
    return record


def lines_of(result) -> list[dict]:
    """The JSON lines, each valid by the schema."""
    lines = records(result)
    for line in lines:
        check(line)
    return lines


def text_of(result) -> str:
    """The text of a success without a word on stderr."""
    assert result.returncode == 0, result.stderr
    assert result.stderr == b""
    return result.stdout.decode()
