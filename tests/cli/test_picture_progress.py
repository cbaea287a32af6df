"""Progress of pictures: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import io
import sys

import forked
import pytest

from caflow_cli.cli import picture_progress
from caflow_cli.cli.console import Console
from caflow_cli.cli.picture_progress import PictureProgress, duration
from caflow_cli.inference.draw import Steps

from .process import ENTRY
from .scenes import save


@pytest.mark.parametrize(
    ("seconds", "text"), [(35.4, "35 s"), (240, "4 min"), (7100, "118 min"), (9000, "2.5 h")]
)
def test_durations_are_texts(seconds, text):
    assert duration(seconds) == text


@pytest.fixture
def clock(monkeypatch):
    """A clock that tests set."""
    now = [1000.0]
    monkeypatch.setattr(picture_progress.time, "monotonic", lambda: now[0])
    return now


def told(clock, console, steps, seconds, pictures=1):
    """Work on a picture of so many steps, each of which takes so long; and on others."""
    with PictureProgress(console, "superres", pictures).shown() as progress:
        for _ in range(pictures):
            progress.begin("x.png")
            for step in range(1, steps + 1):
                clock[0] += seconds
                progress.step(Steps(None, step, steps, "drawn", tile=(step, steps)))
            progress.done()


def test_a_line_comes_every_ten_seconds_but_not_at_first_and_not_at_the_end(clock, capfd):
    told(clock, Console(), 10, 4)
    assert capfd.readouterr().err.splitlines() == [
        "x.png: tile 3 of 10 drawn, about 28 s left",
        "x.png: tile 6 of 10 drawn, about 16 s left",
        "x.png: tile 9 of 10 drawn, about 4 s left",
    ]


def test_short_work_says_nothing_and_quiet_work_neither(clock, capfd):
    told(clock, Console(), 10, 0.9)
    told(clock, Console(quiet=True), 10, 60)
    assert capfd.readouterr() == ("", "")


def test_many_short_pictures_are_counted(clock, capfd):
    told(clock, Console(), 1, 6, pictures=5)
    assert capfd.readouterr().err.splitlines() == [
        "2 of 5 pictures done, about 18 s left",
        "4 of 5 pictures done, about 6 s left",
    ]


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def terminal(monkeypatch):
    """A wide terminal in place of stderr."""
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return screen


@pytest.mark.parametrize(("pictures", "seen"), [(1, False), (2, True)])
def test_on_a_terminal_a_picture_alone_is_not_counted(clock, monkeypatch, pictures, seen):
    screen = terminal(monkeypatch)
    told(clock, Console(), 2, 0.1, pictures)
    assert ("superres" in screen.getvalue()) == seen
    assert "x.png" not in screen.getvalue()  # it took no longer than a moment


def test_on_a_terminal_a_bar_appears_while_the_first_step_lasts(monkeypatch):
    screen = terminal(monkeypatch)
    monkeypatch.setattr(picture_progress, "_BRIEF", 0.01)
    with PictureProgress(Console(), "superres", 1).shown() as progress:
        progress.begin("x.png")
        assert not progress._bars.tasks[1].visible
        progress._reveal.join()
        progress._bars.refresh()
        assert "x.png" in screen.getvalue()
        assert "0/" not in screen.getvalue()
        progress.step(Steps(None, 2, 2, "drawn"))
        assert not progress._bars.tasks[1].visible


def test_on_a_terminal_a_picture_that_fails_leaves_no_bar(monkeypatch):
    terminal(monkeypatch)
    monkeypatch.setattr(picture_progress, "_BRIEF", 0.01)
    with PictureProgress(Console(), "superres", 2).shown() as progress:
        one = progress._bars.tasks[1]
        progress.begin("x.png")
        waits = progress._reveal
        waits.join()
        assert one.visible
        progress.done()
        assert not one.visible
        progress.begin("y.png")
        waits = progress._reveal
        progress.done()
        waits.join()
        waits.function()  # as one that fired while the work ended
        assert not one.visible


def test_on_a_terminal_a_bar_names_the_picture_and_the_time_left(clock, monkeypatch):
    screen = terminal(monkeypatch)
    with PictureProgress(Console(), "superres", 1).shown() as progress:
        progress.begin("x.png")
        clock[0] += 30
        progress.step(Steps(None, 3, 140, "drawn", tile=(3, 70)))
        progress._bars.refresh()
        last = screen.getvalue()[-400:]
        assert "x.png: tile 3 of 70 drawn" in last
        assert "3/140" in last
        assert "about 23 min left" in last
        clock[0] += 30
        progress.step(Steps(None, 140, 140, "drawn", tile=(70, 70)))
        progress.done()
        assert not progress._bars.tasks[1].visible


@pytest.mark.parametrize("more", [[], ["-v"], ["-q"]])
def test_a_run_whose_stderr_is_redirected_shows_its_steps(tmp_path, model_file, more):
    save(tmp_path / "x.png", 8, 8)
    entry = ENTRY.replace(
        "main()", "import caflow_cli.cli.picture_progress as p; p._PAUSE = 0; main()"
    )
    flags = ["-m", "2", "--model", model_file, *more]
    done = forked.run(entry, "superres", "x.png", *flags, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == b"x_superres.png\n"
    lines = [line for line in done.stderr.decode().splitlines() if " left" in line]
    texts = [line.partition(", about ")[0] for line in lines]
    assert texts == ([] if more == ["-q"] else ["x.png: candidates 1-2 of 2 drawn"])
