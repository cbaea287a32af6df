"""Help without noise, and words that mean a command."""

from __future__ import annotations

import re

import pytest
import typer.main

from caflow_cli.cli.app import app
from caflow_cli.config import PRESETS, TASK_NAMES
from caflow_cli.tasks import TASKS

from .inprocess import command_paths
from .process import assert_refused


@pytest.mark.parametrize("words", [[], *command_paths()], ids=" ".join)
def test_flags_have_no_value_in_help(run, words):
    text = run(*words, "--help").stdout.decode()
    assert "--help" in text
    assert "<bool>" not in text
    assert "BOOLEAN" not in text


def texts(command) -> list[str]:
    """All that a command says of itself, its options and arguments."""
    own = [command.help, command.epilog, *(getattr(one, "help", None) for one in command.params)]
    return [text for text in own if text]


@pytest.mark.parametrize("words", [[], *command_paths()], ids=" ".join)
def test_help_loses_no_word_in_brackets(run, words):
    """Rich takes `[app]` for markup, and shows nothing of it, unless it is written `\\[app]`."""
    command = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    shown = run(*words, "--help", COLUMNS="300").stdout.decode()
    for text in texts(command):
        for bracketed in re.findall(r"\[[^\]\s]*\]", text):
            assert bracketed in shown, f"write \\{bracketed}"


def test_help_says_how_the_page_is_installed(run):
    assert 'pip install "caflow-cli[app]"' in run("app", "--help", COLUMNS="300").stdout.decode()


def test_the_help_of_training_lists_tasks_and_presets(run):
    text = "".join(run("train", "--help").stdout.decode().split())
    assert tuple(TASKS) == TASK_NAMES
    for name in (*TASKS, *PRESETS):
        assert name in text


def test_an_unknown_command_is_answered_by_the_one_that_was_meant(run):
    refused = run("inpiant", "x.png")
    assert_refused(refused, 2, "No such command 'inpiant'. Did you mean 'inpaint'")
    assert refused.stderr.decode().splitlines()[1] == "hint: caflow --help"


def test_an_unknown_preset_is_answered_by_the_small_one(run, tmp_path):
    given = ("train", "--out", "run", "--data", tmp_path, "--preset", "big")
    refused = run(*given)
    assert_refused(refused, 2, "unknown preset 'big'")
    assert refused.stderr.decode().splitlines()[1].startswith("hint: --preset compact; ")
