"""Progress on stderr."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from caflow_cli.cli.console import Console


def test_a_progress_display_that_is_off_is_not_started(monkeypatch):
    """Rich before 14.3 writes an empty line where one ends."""
    monkeypatch.setattr("rich.progress.Progress.stop", lambda _: pytest.fail("it ended"))
    with Console(quiet=True).progress() as progress:
        progress.advance(progress.add_task("x"))


class Screen(io.StringIO):
    """A terminal, whose bytes are kept with whether a bar is shown as they are written."""

    def __init__(self) -> None:
        super().__init__()
        self.console, self.written = Console(), []

    @property
    def buffer(self) -> SimpleNamespace:
        return SimpleNamespace(write=self._keep, flush=lambda: None)

    def _keep(self, data: bytes) -> None:
        display = self.console._display
        self.written.append((data, display is not None and display.live.is_started))

    def isatty(self) -> bool:
        return True


def test_results_on_a_terminal_are_not_written_into_the_bar(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", Screen())
    monkeypatch.setenv("TERM", "xterm")
    with screen.console.progress("{task.completed}") as display:
        display.add_task("superres", total=2)
        assert display.live.is_started
        screen.console.result("x.png")
        assert display.live.is_started
    screen.console.result("y.png")
    assert screen.written == [(b"x.png\n", False), (b"y.png\n", False)]
