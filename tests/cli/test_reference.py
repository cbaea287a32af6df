"""The reference that the site shows has every command, option and field."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .inprocess import command_paths

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "caflow_cli" / "assets" / "schema" / "lines.schema.json"


@pytest.fixture(scope="module")
def reference() -> str:
    command = [sys.executable, ".ci/reference.py"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_it_has_every_command_and_option(run, reference):
    sections = {
        part.partition("`")[0]: part for part in re.split(r"^##+ `caflow ", reference, flags=re.M)
    }
    for words in command_paths():
        section = sections[" ".join(words)]
        assert "Example: caflow " in section
        shown = run(*words, "--help", COLUMNS="300").stdout.decode()
        for option in re.findall(r"(?<=[\s,])--[a-z][a-z-]+", shown):
            assert option in section, (words, option)


def test_it_has_every_field_of_json_lines(reference):
    for name, kind in json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"].items():
        (table,) = re.findall(rf"^### `{name}`\n(.*?)(?=^### |\Z)", reference, re.S | re.M)
        listed = re.findall(r"^\| `(\w+)` \|", table, re.M)
        assert listed == list(kind.get("items", kind)["properties"])


def test_the_shell_completes_commands_and_options(run):
    for words, found in (
        ("caflow s", ["superres", "sample", "score"]),
        ("caflow inpaint --ma", ["--mask", "--mask-as-is"]),
    ):
        count = str(len(words.split()) - 1)
        shell = {"_CAFLOW_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": count}
        assert run(**shell).stdout.decode().split() == found
