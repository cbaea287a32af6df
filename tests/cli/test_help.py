"""Help without noise, and words that mean a command."""

from __future__ import annotations

import pytest

from caflow_cli.cli.help import _MEANT
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


def test_the_help_of_training_lists_tasks_and_presets(run):
    text = "".join(run("train", "--help").stdout.decode().split())
    assert tuple(TASKS) == TASK_NAMES
    for name in (*TASKS, *PRESETS):
        assert name in text


@pytest.mark.parametrize(
    ("word", "command"),
    [
        ("upscale", "superres"),
        ("fill", "inpaint"),
        ("repair", "inpaint"),
        ("colour", "colorize"),
        ("Color", "colorize"),
        ("inpiant", "inpaint"),
        ("xyzzy", "--help"),
    ],
)
def test_an_unknown_command_is_answered_by_the_one_that_was_meant(run, word, command):
    refused = run(word, "x.png")
    assert_refused(refused, 2, word)
    assert refused.stderr.decode().splitlines()[1] == f"hint: caflow {command}"


def test_every_meaning_is_a_command():
    assert set(_MEANT.values()) <= {path[0] for path in command_paths()}


def test_an_unknown_preset_is_answered_by_the_small_one(run, tmp_path):
    given = ("train", "--out", "run", "--data", tmp_path, "--preset", "big")
    refused = run(*given)
    assert_refused(refused, 2, "unknown preset 'big'")
    assert refused.stderr.decode().splitlines()[1].startswith("hint: --preset compact; ")
