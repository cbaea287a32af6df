"""Results as JSON lines or as text."""

from __future__ import annotations

import json

import pytest

from caflow_cli.cli.console import Console
from caflow_cli.cli.reporter import Reporter
from caflow_cli.errors import CaflowError


def report(reporter: Reporter) -> None:
    reporter.result({"value": 1}, (f"value {n}" for n in (1, 2)))
    reporter.text(["text"])
    reporter.record({"value": 2})
    reporter.note("of text")
    reporter.failure({"input": "x"}, CaflowError("wrong", "right"))


@pytest.mark.parametrize("as_json", [False, True])
def test_one_form_is_written(capfd, as_json):
    report(Reporter("models list", Console(), as_json))
    out, err = capfd.readouterr()
    said = ["error: wrong", "hint: right"]
    if not as_json:
        assert out.splitlines() == ["value 1", "value 2", "text"]
        assert err.splitlines() == ["of text", *said]
        return
    lines = [json.loads(line) for line in out.splitlines()]
    assert {(line["schema"], line["command"]) for line in lines} == {(2, "models list")}
    assert [line.get("value") for line in lines] == [1, 2, None]
    assert (lines[2]["input"], lines[2]["status"]) == ("x", "error")
    assert lines[2]["error"] == {"code": 1, "message": "wrong", "hint": "right"}
    assert err.splitlines() == said


def test_text_is_not_even_made_beside_json(capfd):
    Reporter("train", Console(), True).result({}, (pytest.fail("made") for _ in [0]))
