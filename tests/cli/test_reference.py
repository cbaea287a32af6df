"""The reference is what the program says of itself, and completion knows it."""

from __future__ import annotations

from pathlib import Path

from caflow_cli.cli.reference import reference

from .inprocess import command_paths

DOCS = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def test_the_reference_is_up_to_date():
    assert DOCS.read_text(encoding="utf-8") == reference(), (
        "python -m caflow_cli.cli.reference > docs/cli.md"
    )


def test_the_reference_has_every_command_and_option(run):
    text = reference()
    for words in command_paths():
        section = text.split(f"## `caflow {' '.join(words)}`\n")[1].split("\n## ")[0]
        assert "Example: `caflow " in section
        shown = run(*words, "--help", COLUMNS="300").stdout.decode()
        options = {word for word in shown.replace(",", " ").split() if word.startswith("--")}
        for option in options - {"--help"}:
            name = option.rstrip(".:;`)")
            assert name in section, (words, name)


def test_the_shell_completes_commands_and_options(run):
    commands = run(_CAFLOW_COMPLETE="complete_bash", COMP_WORDS="caflow s", COMP_CWORD="1")
    assert commands.stdout.decode().split() == ["superres", "sample", "score"]
    options = run(
        _CAFLOW_COMPLETE="complete_bash", COMP_WORDS="caflow inpaint --ma", COMP_CWORD="2"
    )
    assert options.stdout.decode().split() == ["--mask", "--mask-as-is"]
