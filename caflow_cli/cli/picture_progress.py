"""How far a command is with its pictures: bars on a terminal, else a line now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..inference.draw import Steps

__all__ = ["PictureProgress", "duration"]

_PAUSE = 10  # seconds before the first line, and between lines
_BRIEF = 1  # seconds of work on one picture that need no bar of their own


def duration(seconds: float) -> str:
    """A text for people: `35 s`, `4 min`, `1.5 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 120 * 60 else f"{seconds / 3600:.1f} h"


class PictureProgress:
    """Shows how many pictures are done, and what is done of one that takes long.

    On a terminal there is a bar of all pictures, if they are several, and a second one of a picture
    that takes longer than a moment. Elsewhere a line goes to stderr every ten seconds, the first
    one after ten seconds. With `-q` there is nothing. The time that is left is what the steps so
    far took, for the steps to come: of the picture, or of all pictures.

    Args:
        console: Of the command.
        label: Of the bar of pictures: the command's name.
        total: How many pictures there are.
    """

    def __init__(self, console: Console, label: str, total: int) -> None:
        self._console, self._label, self._total, self._pictures = console, label, total, 0
        self._name, self._began = "", time.monotonic()
        self._start = self._said = self._began
        self._reveal: threading.Timer | None = None  # shows the bar of a picture
        self._turn, self._works = threading.Lock(), False  # whether a picture is worked on

    @contextmanager
    def shown(self) -> Iterator[PictureProgress]:
        """Show the bars meanwhile."""
        columns = "{task.fields[count]}", "{task.fields[left]}"
        with self._console.progress(*columns, estimates=False) as bars:
            self._bars: Progress = bars
            several, count = self._total > 1, f"0/{self._total}"
            self._all = bars.add_task(
                self._label, total=self._total, visible=several, count=count, left=""
            )
            self._one = bars.add_task("", total=None, visible=False, count="", left="")
            try:
                yield self
            finally:
                self._hide()

    def begin(self, name: str) -> None:
        """Note that the work on a picture begins, or on several at a time."""
        self._hide()
        self._name, self._began, self._works = name, time.monotonic(), True
        self._bars.update(self._one, description=name, completed=0, count="", left="")
        if self._console.live:  # the first step may take longer than a moment
            self._reveal = threading.Timer(_BRIEF, self._show)
            self._reveal.daemon = True
            self._reveal.start()

    def step(self, done: Steps) -> None:
        """Show what is done of a picture."""
        now = time.monotonic()
        left = self._left(now - self._began, done.done, done.total)
        self._bars.update(
            self._one,
            description=f"{self._name}: {done}",
            completed=done.done,
            total=done.total,
            count=f"{done.done}/{done.total}",
            left=left,
        )
        if done.done >= done.total:
            self._hide()
        else:
            if now - self._began > _BRIEF:
                self._show()
            self._line(now, f"{self._name}: {done}, {left}")

    def done(self) -> None:
        """Show that one more picture is done, or has failed."""
        self._hide()
        self._pictures += 1
        now = time.monotonic()
        left = self._left(now - self._start, self._pictures, self._total)
        count = f"{self._pictures}/{self._total}"
        self._bars.update(self._all, completed=self._pictures, count=count, left=left)
        if self._pictures < self._total:
            self._line(now, f"{self._pictures} of {self._total} pictures done, {left}")

    def _show(self) -> None:
        """Show the bar of a picture, unless its work has ended meanwhile."""
        with self._turn:
            if self._works:
                self._bars.update(self._one, visible=True)

    def _hide(self) -> None:
        """Hide the bar of a picture whose work has ended, and let nothing show it."""
        if self._reveal is not None:
            self._reveal.cancel()
            self._reveal = None
        with self._turn:
            self._works = False
            self._bars.update(self._one, visible=False)

    def _left(self, elapsed: float, done: int, total: int) -> str:
        return f"about {duration(elapsed / done * (total - done))} left" if done < total else ""

    def _line(self, now: float, text: str) -> None:
        if not self._console.live and now - self._said >= _PAUSE:
            self._said = now
            self._console.note(text)
