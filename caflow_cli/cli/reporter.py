"""The results of a command: JSON lines or text, chosen once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..errors import EXIT_FAILED, CaflowError, memory_errors
from .console import Console
from .records import Fields

if TYPE_CHECKING:
    from .plan import Job

__all__ = ["Reporter"]


class Reporter:
    """A command's console, by its former name."""

    def __init__(self, command: str, console: Console, as_json: bool) -> None:
        console.command, console.json = command, as_json
        self.console = console
        self.result, self.text, self.failure = console.result, console.text, console.failure

    def record(self, fields: Fields) -> None:
        """Write a JSON line; nothing where results are text."""
        self.console.result(fields)

    def note(self, text: str) -> None:
        """Write a note to stderr, unless results are JSON: then a field of the line has it."""
        if not self.console.json:
            self.console.note(text)

    def each(
        self,
        jobs: Iterable[Job],
        work: Callable[[Job], None],
        smaller: str,
        done: Callable[[], None],
    ) -> bool:
        """Work on jobs, one after the other. What fails is reported, and the others complete.

        Args:
            jobs: Of pictures.
            work: Does one. A CaflowError with exit code 1 is that picture's; any other stops all.
            smaller: What to do where memory does not suffice.
            done: Called behind each.

        Returns:
            Whether all succeeded.
        """

        sound = True
        for job in jobs:
            try:
                with memory_errors(smaller):
                    work(job)
            except CaflowError as error:
                if error.exit_code != EXIT_FAILED:
                    raise
                sound = False
                self.failure(job.names, error)
            done()
        return sound
