"""Progress on stderr."""

from __future__ import annotations

import pytest

from caflow_cli.cli.console import Console


def test_a_progress_display_that_is_off_is_not_started(monkeypatch):
    """Rich before 14.3 writes an empty line where one ends."""
    monkeypatch.setattr("rich.progress.Progress.stop", lambda _: pytest.fail("it ended"))
    with Console(quiet=True).progress() as progress:
        progress.advance(progress.add_task("x"))
