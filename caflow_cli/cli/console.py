"""The one place for output: results go to stdout, everything else goes to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from ..errors import CaflowError

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["ClosedPipe", "Console", "measuring", "say"]


class ClosedPipe(Exception):
    """The reader of stdout has seen enough (`caflow ... | head -1`)."""


def say(text: str) -> None:
    """Write a line to stderr, unless that is closed."""
    with suppress(OSError, ValueError, AttributeError):  # a closed pipe, a closed file, no stderr
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def measuring(display: Progress) -> Callable[[int, int], None]:
    """Add a bar of pictures, and return what sets it: how many are measured, and of how many.

    A search of two parts fills it twice.
    """
    bar = display.add_task("measuring", total=None)
    return lambda done, total: display.update(
        bar, completed=done, total=total, description=f"{done} of {total} pictures"
    )


class Console:
    """Streams of a command. `quiet` drops notes and progress, never errors or results."""

    def __init__(self, quiet: bool = False, verbose: bool = False) -> None:
        self.quiet, self.verbose = quiet, verbose
        self._display: Progress | None = None  # that is shown

    def result(self, line: str) -> None:
        """Write a line to stdout and flush it. A name that is not UTF-8 keeps its bytes."""
        self.binary((line + "\n").encode(errors="surrogateescape"))

    def binary(self, data: bytes) -> None:
        """Write bytes to stdout."""
        if sys.stdout is None:
            raise CaflowError("stdout is closed", "-o FILE")
        try:
            with self._aside():
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
        except BrokenPipeError as error:
            raise ClosedPipe from error
        except OSError as error:
            raise CaflowError(f"cannot write to stdout: {error.strerror}", "-o FILE") from error

    def json(self, record: Mapping[str, object]) -> None:
        """Write a JSON line to stdout. Bytes of a file name that are not UTF-8 are escaped."""
        line = json.dumps(record, ensure_ascii=False, allow_nan=False)
        try:
            line.encode()
        except UnicodeEncodeError:
            line = json.dumps(record, allow_nan=False)
        self.result(line)

    def note(self, text: str) -> None:
        """Write a line to stderr, unless `-q` is given."""
        if not self.quiet:
            self.say(text)

    def detail(self, text: str) -> None:
        """Write a line to stderr if `-v` is given."""
        if self.verbose:
            self.note(text)

    def error(self, error: CaflowError) -> None:
        """Write two lines to stderr: what is wrong, and what to type instead."""
        self.say(f"error: {error.message}\nhint: {error.hint}")

    def say(self, text: str) -> None:
        """Write a line to stderr."""
        say(text)

    @property
    def live(self) -> bool:
        """Whether a progress bar makes sense: stderr is a terminal."""
        return not self.quiet and sys.stderr is not None and sys.stderr.isatty()

    @contextmanager
    def progress(self, *columns: str, estimates: bool = True) -> Iterator[Progress]:
        """A Rich progress display on stderr. It is silent if stderr is not a terminal.

        Args:
            columns: Of each bar, behind it.
            estimates: Add Rich's estimate of the time that is left.
        """
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        display = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *[TextColumn(column, markup=False) for column in columns],
            *([TimeRemainingColumn()] if estimates else []),
            console=RichConsole(stderr=True),
            transient=True,
            disable=not self.live,
        )
        if display.disable:  # as it ends, Rich before 14.3 writes an empty line all the same
            yield display
            return
        self._display = display
        try:
            with display:
                yield display
        finally:
            self._display = None

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Take the display away meanwhile, if stdout is a terminal: it would be written into."""
        if self._display is None or not sys.stdout.isatty():
            yield
            return
        self._display.stop()
        try:
            yield
        finally:
            self._display.start()
