"""The line on the first use of a default model that took another one's place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caflow_cli.cli import changed_default
from caflow_cli.cli.changed_default import note_changed_default, state_path
from caflow_cli.cli.console import Console
from caflow_cli.hub.manifest import load_manifest

ENTRY = replace(
    load_manifest()["faces-superres-x4"], id="photos-superres-x4", replaces="faces-superres-x4"
)


@pytest.fixture(autouse=True)
def state(monkeypatch, tmp_path):
    monkeypatch.setattr(changed_default.sys, "platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def test_it_is_said_once_and_names_the_way_back(capsys):
    note_changed_default(ENTRY, Console())
    said = capsys.readouterr().err
    assert "superres uses photos-superres-x4" in said
    assert "caflow config set model.superres faces-superres-x4" in said
    note_changed_default(ENTRY, Console())
    assert capsys.readouterr().err == ""
    note_changed_default(replace(ENTRY, id="another"), Console())
    assert "superres uses another" in capsys.readouterr().err


def test_quiet_commands_say_nothing_and_do_not_count(capsys):
    note_changed_default(ENTRY, Console(quiet=True))
    assert capsys.readouterr().err == ""
    assert not state_path().exists()
    note_changed_default(ENTRY, Console())
    assert capsys.readouterr().err != ""


def test_a_default_that_replaces_nothing_is_not_mentioned(capsys):
    note_changed_default(replace(ENTRY, replaces=None), Console())
    assert capsys.readouterr().err == ""


def test_where_nothing_can_be_written_it_is_said_each_time(state, capsys):
    state.write_text("a file in the folder's place")
    for _ in range(2):
        note_changed_default(ENTRY, Console())
        assert "superres uses" in capsys.readouterr().err


def test_without_a_folder_for_state_it_lies_beside_the_config(monkeypatch, tmp_path):
    monkeypatch.setattr(changed_default.sys, "platform", "darwin")
    monkeypatch.setenv("CAFLOW_CONFIG", str(tmp_path / "config.toml"))
    assert state_path() == tmp_path / "defaults-seen.txt"
