"""The options that restoring commands share: their help, and what goes before what."""

from __future__ import annotations

from caflow_cli.tasks import TASKS

from .process import assert_refused


def test_the_help_states_the_defaults_of_the_tasks(run):
    text = " ".join(run("superres", "--help", COLUMNS="400").stdout.decode().split())
    for task in ("superres", "inpaint"):
        assert TASKS[task].tau == 0.5
    assert f"else 0.5 (colorize {TASKS['colorize'].tau}, paired {TASKS['paired'].tau})" in text
    assert f"else 10 (inpaint {TASKS['inpaint'].candidates})" in text
    assert TASKS["superres"].candidates == TASKS["colorize"].candidates == 10


def test_typed_contradictions_are_refused_beside_a_file_too(run, tmp_path, small_picture):
    (tmp_path / "mine.toml").write_text("overwrite = true\n")
    given = ("superres", small_picture, "--overwrite", "--skip-existing")
    assert_refused(run(*given, CAFLOW_CONFIG="mine.toml"), 2, "contradict each other")
