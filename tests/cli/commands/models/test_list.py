"""`caflow models list`."""

from __future__ import annotations

from caflow_cli.hub.manifest import load_manifest

from ...results import lines_of, text_of
from .entry import ENTRY, ID


def test_list(run):
    entries = load_manifest()
    rows = [line.split("\t") for line in text_of(run("models", "list")).splitlines()]
    assert [row[0] for row in rows] == list(entries)
    assert rows[list(entries).index(ID)] == [
        ID,
        "superres",
        "15.5 MB",
        "bundled",
        ENTRY.license,
        "default",
    ]
    lines = lines_of(run("models", "list", "--json"))
    assert [line["id"] for line in lines] == list(entries)
    assert {line["command"] for line in lines} == {"models list"}
