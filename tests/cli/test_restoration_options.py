"""The help of the options that restoring commands share."""

from __future__ import annotations

from caflow_cli.tasks import TASKS


def test_the_help_states_the_defaults_of_the_tasks(run):
    text = " ".join(run("superres", "--help", COLUMNS="400").stdout.decode().split())
    for task in ("superres", "inpaint"):
        assert TASKS[task].tau == 0.5
    assert f"else 0.5 (colorize {TASKS['colorize'].tau}, paired {TASKS['paired'].tau})" in text
    assert f"else 10 (inpaint {TASKS['inpaint'].candidates})" in text
    assert TASKS["superres"].candidates == TASKS["colorize"].candidates == 10
