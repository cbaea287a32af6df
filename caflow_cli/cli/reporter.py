"""The results of a command: JSON lines or text, chosen once."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import CaflowError
from .console import Console
from .records import SCHEMA, Fields, Names, error_fields

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
        """Write one result: `fields` as a JSON line, or else `lines`, which are read only then."""
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
        """Say on stderr what a JSON line has in its fields; nothing where results are JSON."""
        if not self._as_json:
            self.console.note(text)

    def failure(self, names: Names, error: CaflowError) -> None:
        """Say on stderr what is wrong with one input, and write its JSON line."""
        self.console.error(error)
        self.record(error_fields(names, error))
