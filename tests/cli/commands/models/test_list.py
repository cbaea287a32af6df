"""`caflow models list`."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from caflow_cli.hub.manifest import load_manifest

from ...results import lines_of, text_of
from .entry import ENTRY, ID


def test_list(run):
    entries = load_manifest()
    rows = [line.split("\t") for line in text_of(run("models", "list")).splitlines()]
    assert rows.pop(0) == ["id", "task", "size", "place", "license", "default"]
    assert [row[0] for row in rows] == list(entries)
    assert rows[list(entries).index(ID)] == [
        ID,
        "superres",
        "18.6 MB",
        "bundled",
        ENTRY.license,
    ]
    assert [row[0] for row in rows if row[5:] == ["default"]] == [
        entry.id for entry in entries.values() if entry.default
    ]
    lines = lines_of(run("models", "list", "--json"))
    assert [line["id"] for line in lines] == list(entries)
    assert {line["command"] for line in lines} == {"models list"}


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_on_a_terminal_it_is_a_table_within_100_columns():
    ours, theirs = os.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        command = [sys.executable, "-m", "caflow_cli", "models", "list"]
        subprocess.run(command, stdout=theirs, check=True)
        os.close(theirs)
        lines = screen.read(10_000).decode().splitlines()
    assert len(lines) == 1 + len(load_manifest())
    head, *rows = lines
    assert {row.index("bundled") for row in rows} == {head.index("place")}  # columns
    assert max(map(len, lines)) <= 100
