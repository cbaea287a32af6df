"""What workflow, hooks, recipes and CONTRIBUTING name exists: paths, modules and commands."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import yaml

from .cli.inprocess import command_paths

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
GATES = [".github/workflows/ci.yml", ".pre-commit-config.yaml", "justfile", "CONTRIBUTING.md"]
# A shell's own words, what comes with Python and git, and `pre-commit`, which is optional.
SHELL = {"cp", "do", "done", "for", "git", "just", "mkdir", "pip", "pre-commit", "python"}
EXAMPLES = {"photos", "run", "out.png"}  # what the commands themselves make
PROGRAMS = {"mkdocs": "mkdocs-material"}  # where a distribution has another name


def paths_of(text: str) -> set[str]:
    """What looks like a path into the repository: it starts with the name of one of its entries."""
    entries = {path.name for path in ROOT.iterdir()} - EXAMPLES
    found = set()
    for word in re.findall(r"[\w./-]+", text):
        name = word.rstrip(".")
        is_placeholder = re.search(r"\b(NAME|ID)\b", name)
        if name.split("/")[0] in entries and not is_placeholder:
            found.add(name)
    return found


def lines_of(name: str, text: str) -> list[str]:
    """The command lines of a gate."""
    if name.endswith("ci.yml"):
        jobs = yaml.safe_load(text)["jobs"].values()
        steps = [step for job in jobs for step in job["steps"]]
        return [line for step in steps for line in step.get("run", "").splitlines()]
    if name.endswith(".yaml"):
        hooks = [hook for repo in yaml.safe_load(text)["repos"] for hook in repo["hooks"]]
        return [hook["entry"] for hook in hooks]
    if name == "justfile":
        lines = [line.strip() for line in text.splitlines() if line.startswith("    ")]
        return [line for line in lines if not line.startswith("@")]
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return lines + [code for code in re.findall(r"`([^`\n]+)`", text) if " " in code]


def commands_of(line: str) -> list[list[str]]:
    """The words of each command in a line."""
    line = line.split("  #")[0]
    return [part.split() for part in re.split(r"&&|;|\|", line) if part.strip()]


def missing(name: str, text: str) -> list[str]:
    """What a gate names and does not exist."""
    wrong = [path for path in paths_of(text) if not (ROOT / path).exists()]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [one for extra in project["optional-dependencies"].values() for one in extra]
    known = SHELL | {re.split(r"[\[<>=;~]", one)[0] for one in extras}
    for words in (words for line in lines_of(name, text) for words in commands_of(line)):
        program = words[0]
        if program == "caflow":
            options = next((k for k, word in enumerate(words) if word.startswith("-")), len(words))
            if not any(words[1:options][: len(path)] == path for path in command_paths()):
                wrong.append(" ".join(words))
        elif program == "python" and words[1] == "-m":
            if importlib.util.find_spec(words[2]) is None:
                wrong.append(words[2])
        elif name == "CONTRIBUTING.md" or (ROOT / program).exists():
            continue  # CONTRIBUTING has prose, too
        elif program not in known and PROGRAMS.get(program) not in known:
            wrong.append(program)
    return wrong


@pytest.mark.parametrize("name", GATES)
def test_what_a_gate_names_exists(name):
    assert missing(name, (ROOT / name).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("justfile", "test:\n    pytest tests/checkpoint\n"),
        ("justfile", "reference:\n    python -m caflow_cli.cli.reference\n"),
        ("justfile", "draw:\n    caflow models draw\n"),
        ("justfile", "lint:\n    flake8\n"),
        ("CONTRIBUTING.md", "Read `docs/nowhere.md`, and run `caflow denoise face.png`."),
    ],
)
def test_what_does_not_exist_is_seen(name, text):
    assert missing(name, text)


def test_the_workflow_has_two_pythons_on_linux_and_one_elsewhere():
    jobs = yaml.safe_load((ROOT / GATES[0]).read_text(encoding="utf-8"))["jobs"]
    assert jobs["check"]["strategy"]["matrix"] == {"python": ["3.10", "3.13"]}
    assert jobs["test"]["strategy"]["matrix"] == {"system": ["macos-latest", "windows-latest"]}
