"""Options: help, what a shell completes, groups, and the reference that the site shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer.main
from typer.testing import CliRunner

from caflow_cli.cli.app import app
from caflow_cli.cli.options import expanded, option
from caflow_cli.config import PRESETS, TASK_NAMES
from caflow_cli.tasks import TASKS

from .inprocess import command_paths
from .process import assert_refused

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "caflow_cli" / "assets" / "schema" / "lines.schema.json"


@dataclass(frozen=True, kw_only=True)
class Pair:
    needed: int = option("--needed -d N", "A number.", default=...)
    second: str | None = option("--second TEXT", "A text.")
    flag: bool = option("--flag", "A flag.")


def test_a_group_becomes_options_and_comes_back_whole():
    seen = []

    @expanded
    def command(name: Annotated[str, typer.Argument()], pair: Pair, last: bool = False) -> None:
        """Do
        it.
        """
        seen.append((name, astuple(pair), last))

    program = typer.Typer()
    program.command()(command)
    assert CliRunner().invoke(program, ["x", "-d", "2", "--second", "b"]).exit_code == 0
    assert CliRunner().invoke(program, ["y", "--last", "--needed", "3"]).exit_code == 0
    assert CliRunner().invoke(program, ["y"]).exit_code == 2
    assert seen == [("x", (2, "b", False), False), ("y", (3, None, False), True)]
    assert command.__doc__ == "Do it."


# --- help -----------------------------------------------------------------------------------------


def texts(words: list[str]) -> list[str]:
    """All that a command says of itself, its options and arguments."""
    command = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    own = [command.help, command.epilog, *(getattr(one, "help", None) for one in command.params)]
    return [text for text in own if text]


@pytest.mark.parametrize("words", [[], *command_paths()], ids=" ".join)
def test_help_has_an_example_and_loses_no_word_in_brackets(run, words):
    """Rich takes `[app]` for markup, and shows nothing of it, unless it is written `\\[app]`."""
    done = run(*words, "--help", COLUMNS="300")
    shown = done.stdout.decode()
    assert (done.returncode, "--help" in shown) == (0, True)
    assert not words or f"Example: caflow {' '.join(words)}" in shown
    for noise in ("<bool>", "BOOLEAN", "env var"):
        assert noise not in shown
    for text in texts(words):
        for bracketed in re.findall(r"\[[^\]\s]*\]", text):
            assert bracketed in shown, f"write \\{bracketed}"


def test_help_says_how_the_page_is_installed_and_lists_tasks_and_presets(run):
    assert 'pip install "caflow-cli[app]"' in run("app", "--help", COLUMNS="300").stdout.decode()
    text = "".join(run("train", "--help").stdout.decode().split())
    assert tuple(TASKS) == TASK_NAMES
    for name in (*TASKS, *PRESETS):
        assert name in text


def test_every_option_has_a_variable_of_its_name():
    def options(command, words):
        for name, child in getattr(command, "commands", {}).items():
            yield from options(child, [*words, name])
        for one in command.params if words else ():
            names = [name[2:] for name in one.opts if name.startswith("--")]
            if names:
                yield [*words, one.name], names

    for words, names in options(typer.main.get_command(app), []):
        assert words[-1] in [name.replace("-", "_") for name in names], words


def test_an_unknown_command_is_answered_by_the_one_that_was_meant(run):
    refused = run("inpiant", "x.png")
    assert_refused(refused, 2, "No such command 'inpiant'. Did you mean 'inpaint'")
    assert refused.stderr.decode().splitlines()[1] == "hint: caflow --help"


# --- completion -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("caflow s", ["superres", "sample", "score"]),
        ("caflow inpaint --mask-", ["--mask-as-is"]),
        ("caflow superres --model faces-su", ["faces-superres-x4"]),
        ("caflow superres --device c", ["cpu", "cuda"]),
        ("caflow superres example:face_6", ["example:face_64"]),
        ("caflow superres photo", []),  # the shell's own: files
        ("caflow train --preset comp", ["compact"]),
        ("caflow train --task co", ["colorize"]),
        ("caflow evaluate --metric lpips,rm", ["lpips,rmse"]),
        ("caflow models info faces-su", ["faces-superres-x4"]),
    ],
)
def test_a_shell_completes(run, words, found):
    count = str(len(words.split()) - 1)
    shell = {"_CAFLOW_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": count}
    assert run(**shell).stdout.decode().split() == found


# --- the reference --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference() -> str:
    command = [sys.executable, ".ci/reference.py"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_reference_has_every_command_and_option(run, reference):
    parts = re.split(r"^##+ `caflow ", reference, flags=re.M)
    sections = {part.partition("`")[0]: part for part in parts}
    for words in command_paths():
        section = sections[" ".join(words)]
        assert "Example: caflow " in section
        shown = run(*words, "--help", COLUMNS="300").stdout.decode()
        for name in re.findall(r"(?<=[\s,])--[a-z][a-z-]+", shown):
            assert name in section, (words, name)


def test_the_reference_has_every_field_of_json_lines(reference):
    for name, kind in json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"].items():
        (table,) = re.findall(rf"^### `{name}`\n(.*?)(?=^### |\Z)", reference, re.S | re.M)
        listed = re.findall(r"^\| `(\w+)` \|", table, re.M)
        assert listed == list(kind.get("items", kind)["properties"])
