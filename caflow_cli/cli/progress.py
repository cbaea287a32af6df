"""How far a command is with its images: bars on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["ImageProgress", "duration"]

PAUSE = 10  # seconds before the first line, and between lines
BRIEF = 1  # seconds of work on one image that need no bar of their own


def duration(seconds: float) -> str:
    """A text for people: `35 s`, `4 min`, `1.5 h`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 120 * 60 else f"{seconds / 3600:.1f} h"


class ImageProgress:
    """Shows how many images are done, and what is done of one that takes long.

    On a terminal there is a bar of all images, if they are several, and a second one of an image
    that takes longer than a moment. Elsewhere a line goes to stderr every ten seconds, the first
    one after ten seconds. With `-q` there is nothing. The time that is left is what the finished
    steps took, for the steps to come: of the image, or of all images.

    Args:
        console: Of the command.
        total: How many images there are.
    """

    def __init__(self, console: Console, total: int) -> None:
        self._console, self._total, self._images = console, total, 0
        self._name = ""
        self._start = self._began = self._said = time.monotonic()

    @contextmanager
    def shown(self) -> Iterator[ImageProgress]:
        """Show the bars meanwhile."""
        columns = "{task.fields[count]}", "{task.fields[left]}"
        with self._console.progress(*columns, estimates=False) as bars:
            self._bars: Progress = bars
            several, count = self._total > 1, f"0/{self._total}"
            self._all = bars.add_task(
                self._console.command, total=self._total, visible=several, count=count, left=""
            )
            self._one = bars.add_task("", total=None, visible=False, count="", left="")
            yield self

    def begin(self, name: str) -> None:
        """Note that the work on an image begins, or on several at a time."""
        self._name, self._began = name, time.monotonic()
        alone = self._total == 1  # else the other bar shows that something is done
        self._bars.update(self._one, description=name, count="", left="", visible=alone)

    def step(self, done: int, total: int) -> None:
        """Show what is done of an image: passes of the model."""
        now = time.monotonic()
        left = _left(now - self._began, done, total)
        self._bars.update(
            self._one,
            completed=done,
            total=total,
            count=f"{done}/{total}",
            left=left,
            visible=bool(left) and (self._total == 1 or now - self._began > BRIEF),
        )
        if left:
            self._line(now, f"{self._name}: {done} of {total} steps done, {left}")

    def done(self) -> None:
        """Show that one more image is done, or has failed."""
        self._images += 1
        now = time.monotonic()
        left = _left(now - self._start, self._images, self._total)
        count = f"{self._images}/{self._total}"
        self._bars.update(self._one, visible=False)
        self._bars.update(self._all, completed=self._images, count=count, left=left)
        if left:
            self._line(now, f"{self._images} of {self._total} images done, {left}")

    def _line(self, now: float, text: str) -> None:
        if not self._console.live and now - self._said >= PAUSE:
            self._said = now
            self._console.note(text)


def _left(elapsed: float, done: int, total: int) -> str:
    return f"about {duration(elapsed / done * (total - done))} left" if done < total else ""
