"""The options that restoring commands share: their help, and what goes before what."""

from __future__ import annotations

import pytest

from caflow_cli.cli.commands import colorize
from caflow_cli.tasks import TASKS

from .process import assert_refused


def test_the_help_states_the_defaults_of_the_tasks(run):
    text = " ".join(run("superres", "--help", COLUMNS="400").stdout.decode().split())
    for task in ("superres", "inpaint"):
        assert TASKS[task].tau == 0.5
    assert f"else 0.5 (colorize {TASKS['colorize'].tau}, paired {TASKS['paired'].tau})" in text
    assert f"else 10 (inpaint {TASKS['inpaint'].candidates})" in text
    assert TASKS["superres"].candidates == TASKS["colorize"].candidates == 10


@pytest.fixture
def settled(run, tmp_path, monkeypatch):
    """`settled(file, *options, **environment)`: the options that `caflow colorize x.png` takes."""
    found = []
    monkeypatch.setattr(
        colorize, "restore_pictures", lambda name, images, given: found.append(given)
    )

    def settled(file, *options, **environment):
        (tmp_path / "mine.toml").write_text(file)
        done = run("colorize", "x.png", *options, CAFLOW_CONFIG="mine.toml", **environment)
        assert done.returncode == 0, done.stderr
        return found[-1]

    return settled


@pytest.mark.parametrize(
    ("file", "options", "left"),
    [
        ("overwrite = true", ["--skip-existing"], {"overwrite": False, "skip_existing": True}),
        ("skip-existing = true", ["--overwrite"], {"overwrite": True, "skip_existing": False}),
        ("json = true", ["-o", "-"], {"json": False, "output": "-"}),
        ("keep = 3", ["-o", "-"], {"keep": 1, "output": "-"}),
        ("keep = 3", ["-m", "2"], {"keep": 1, "candidates": 2}),
        ("candidates = 2", ["-n", "3"], {"keep": 3, "candidates": None}),
        ("candidates = 1", ["--uncertainty", "u.png"], {"candidates": None}),
        ("precision = 'bf16'", ["--refine", "1"], {"refine": 1, "precision": "float32"}),
        ("output = 'y.png'", [], {"output": "y.png"}),
        ("format = 'webp'", ["-o", "y.png"], {"format": None}),
        ("format = 'webp'", ["-o", "y.png/"], {"format": "webp"}),
        ("quality = 90", [], {"quality": None}),
        ("quality = 90", ["-o", "y.jpg"], {"quality": 90}),
        ("quality = 90\nformat = 'webp'", ["-o", "y/"], {"quality": 90, "format": "webp"}),
        ("keep = 3\ncandidates = 5", ["--tau", "1"], {"keep": 3, "candidates": 5}),
    ],
)
def test_the_users_file_yields_to_what_is_typed(settled, file, options, left):
    given = settled(f"{file}\n", *options)
    assert {name: getattr(given, name) for name in left} == left


def test_typed_contradictions_are_refused_beside_a_file_too(run, tmp_path, small_picture):
    (tmp_path / "mine.toml").write_text("overwrite = true\n")
    given = ("superres", small_picture, "--overwrite", "--skip-existing")
    assert_refused(run(*given, CAFLOW_CONFIG="mine.toml"), 2, "contradict each other")
