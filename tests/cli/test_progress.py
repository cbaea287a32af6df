"""Progress of images: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import sys
import time

import pytest

from caflow_cli.cli.console import Console
from caflow_cli.cli.progress import ImageProgress, duration


@pytest.mark.parametrize(
    ("seconds", "text"), [(35.4, "35 s"), (240, "4 min"), (7100, "118 min"), (9000, "2.5 h")]
)
def test_durations_are_texts(seconds, text):
    assert duration(seconds) == text


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests set."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def told(clock, steps, seconds, images=1, quiet=False):
    """Work on an image of so many steps, each of which takes so long; and on others."""
    with ImageProgress(Console(quiet, command="superres"), images).shown() as shown:
        for _ in range(images):
            shown.begin("x.png")
            for step in range(1, steps + 1):
                clock[0] += seconds
                shown.step(step, steps)
            shown.done()


def test_a_line_comes_every_ten_seconds_but_not_at_first_and_not_at_the_end(clock, capfd):
    told(clock, 10, 4)
    assert capfd.readouterr().err.splitlines() == [
        "x.png: 3 of 10 steps done, about 28 s left",
        "x.png: 6 of 10 steps done, about 16 s left",
        "x.png: 9 of 10 steps done, about 4 s left",
    ]


def test_short_work_says_nothing_and_quiet_work_neither(clock, capfd):
    told(clock, 10, 0.9)
    told(clock, 10, 60, quiet=True)
    assert capfd.readouterr() == ("", "")


def test_many_short_images_are_counted(clock, capfd):
    told(clock, 1, 6, images=5)
    assert capfd.readouterr().err.splitlines() == [
        "2 of 5 images done, about 18 s left",
        "4 of 5 images done, about 6 s left",
    ]


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("images", "seen"),
    [(1, ["x.png", "left"]), (2, ["superres"])],
)
def test_on_a_terminal_there_are_bars_of_what_takes_long(monkeypatch, images, seen):
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with ImageProgress(Console(command="superres"), images).shown() as shown:
        shown.begin("x.png")
        shown.step(1, 140)
    found = screen.getvalue()
    assert [word for word in ("superres", "x.png", "left") if word in found] == seen
