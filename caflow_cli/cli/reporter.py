"""The results of a command: JSON lines or text, chosen once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ..errors import EXIT_FAILED, CaflowError
from ..version import SCHEMA
from .console import Console
from .records import Fields, Names, error_fields

if TYPE_CHECKING:
    from .plan import Job

__all__ = ["Reporter"]


class Reporter:
    """Writes the results of one command to stdout: as JSON lines with `--json`, else as text.

    Args:
        command: Its name, as JSON states it: "superres", "models list".
        console: Takes the lines.
        as_json: Whether `--json` is given.
    """

    def __init__(self, command: str, console: Console, as_json: bool) -> None:
        self.command, self.console = command, console
        self._as_json = as_json

    def result(self, fields: Fields, lines: Iterable[str]) -> None:
        """Write one result: `fields` as a JSON line, or else the text `lines`."""
        self.record(fields)
        self.text(lines)

    def record(self, fields: Fields) -> None:
        """Write a JSON line; nothing where results are text."""
        if self._as_json:
            self.console.json({"schema": SCHEMA, "command": self.command, **fields})

    def text(self, lines: Iterable[str]) -> None:
        """Write lines of text; nothing where results are JSON."""
        if not self._as_json:
            for line in lines:
                self.console.result(line)

    def note(self, text: str) -> None:
        """Write a note to stderr, unless results are JSON: then a field of the line has it."""
        if not self._as_json:
            self.console.note(text)

    def failure(self, names: Names, error: CaflowError) -> None:
        """Write to stderr what is wrong with one input, and write its JSON line."""
        self.console.error(error)
        self.record(error_fields(names, error))

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
        from ..memory import memory_errors

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
