"""Options: help, what a shell completes, groups, and the reference that the site shows."""

import re
import subprocess
import sys
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from caflow_cli.cli.app import program
from caflow_cli.cli.options import expanded, option

from .inprocess import command_paths
from .results import SCHEMA


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


def command_of(words: list[str]):
    command = program
    for word in words:
        command = command.commands[word]
    return command


@pytest.mark.parametrize("words", [[], *command_paths()], ids=" ".join)
def test_help_has_an_example_and_loses_no_word_in_brackets(run, words):
    """Rich takes `[app]` for markup, and shows nothing of it, unless it is written `\\[app]`."""
    shown = run(*words, "--help", COLUMNS="300").stdout.decode()
    assert "--help" in shown
    assert not words or f"Example: caflow {' '.join(words)}" in shown
    assert "env var" not in shown or not words
    command = command_of(words)
    texts = command.help, command.epilog, *(getattr(one, "help", None) for one in command.params)
    for bracketed in re.findall(r"\[[^\]\s]*\]", " ".join(filter(None, texts))):
        assert bracketed in shown, f"write \\{bracketed}"
    for one in command.params if words else ():  # so that the variable of an option has its name
        names = [name[2:].replace("-", "_") for name in one.opts if name.startswith("--")]
        assert not names or one.name in names


@pytest.mark.parametrize(("command", "most"), [("superres", 98), ("evaluate", 140)])
def test_help_is_short_and_begins_with_the_common_options(run, command, most):
    lines = run(command, "--help").stdout.decode().splitlines()
    titles = [line.strip("╭╮─ ") for line in lines if line.startswith("╭")]
    assert len(lines) <= most
    assert titles[:2] == ["Arguments", "Common options"]
    shown = "\n".join(lines).partition("Common options")[2].partition("╰")[0]
    for name in ("--model", "--json", "--help"):
        assert f" {name} " in shown


def test_the_reference_has_every_command_option_and_field():
    command = [sys.executable, ".ci/reference.py"]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    parts = re.split(r"^##+ `caflow ", done.stdout, flags=re.M)
    sections = {part.partition("`")[0]: part for part in parts}
    for words in command_paths():
        assert "Example: caflow " in sections[" ".join(words)]
        names = [name for one in command_of(words).params for name in one.opts if name[0] == "-"]
        assert not [name for name in names if name not in sections[" ".join(words)]], words
    for name, kind in SCHEMA["$defs"].items():
        (table,) = re.findall(rf"^### `{name}`\n(.*?)(?=^### |\Z)", done.stdout, re.S | re.M)
        listed = re.findall(r"^\| `(\w+)` \|", table, re.M)
        assert listed == list(kind.get("items", kind)["properties"])
