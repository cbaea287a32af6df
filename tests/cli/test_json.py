"""Every JSON line is what the schema in the package says."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import ASSETS

SCHEMA = json.loads((ASSETS / "schema" / "lines.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    ramp = np.add.outer(np.arange(32) * 4, np.arange(32) * 3).astype(np.uint8)
    Image.fromarray(ramp).convert("RGB").save(tmp_path / "x.png")
    Image.fromarray(np.where(ramp > 150, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    return tmp_path


def lines_of(result) -> list[dict]:
    """The lines, each valid."""
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    validator = jsonschema.Draft202012Validator(SCHEMA)
    for line in lines:
        best = jsonschema.exceptions.best_match(validator.iter_errors(line))
        assert best is None, f"{best.message} at {best.json_path}"
    return lines


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("command", ["superres", "colorize", "inpaint", "sample"])
def test_lines_of_restorations(run, pictures, model_files, command):
    mask = ["--mask", "mask.png"] if command == "inpaint" else []
    names = ["x.png", "bad.png"]
    given = [v for name in names for v in ("--cond", name)] if command == "sample" else names
    model = model_files["paired" if command == "sample" else command]
    shared = [command, *given, *mask, "-m", 2, "-n", 2, "-o", "out/", "--json", "--model", model]
    lines = lines_of(run(*shared, "--noise-samples", 2))
    assert [line["status"] for line in lines] == ["ok", "error"]
    assert lines[0]["candidates"][1]["standard_error"] > 0
    planned = lines_of(run(*shared, "--dry-run", "--overwrite"))
    assert [line["status"] for line in planned] == ["planned", "planned"]
    again = lines_of(run(*shared, "--skip-existing"))
    assert [line["status"] for line in again] == ["skipped", "error"]
    assert {line.get("mask") for line in lines + planned} == {mask[1] if mask else None}


def test_lines_of_scores(run, pictures, model_files):
    model = ["--model", model_files["inpaint"], "--mask", "mask.png", "--json"]
    pair = ["score", "--cond", "x.png", "--target"]
    (ok,) = lines_of(run(*pair, "x.png", *model))
    (failed,) = lines_of(run(*pair, "bad.png", *model))
    assert (ok["status"], failed["status"]) == ("ok", "error")
    assert ok["mask"] == failed["mask"] == "mask.png"


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"status": "fine"},
        {"surprise": 1},
        {"outputs": []},
        {"model": {"id": "x", "sha256": "short"}},
        {"command": "score"},
    ],
)
def test_the_schema_refuses_what_is_not_a_line(run, pictures, model_files, change):
    shared = ["superres", "x.png", "-m", 1, "-o", "o.png", "--json"]
    (line,) = lines_of(run(*shared, "--model", model_files["superres"]))
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid({**line, **change})
