"""The inputs of a command in blocks: a team of processes works on them, one reports, in order."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from .console import Console
from .team import Team, is_helper

if TYPE_CHECKING:
    from .sheets import Sheet

__all__ = ["Recorder", "Shares", "by_mark", "in_blocks", "open_console", "repeat"]

_T = TypeVar("_T")
_NAMED = 3  # inputs in a message


class Recorder(Console):
    """Keeps what is said, for another process or for another order."""

    def __init__(self, quiet: bool, verbose: bool) -> None:
        super().__init__(quiet, verbose)
        self._said: list[tuple[str, str]] = []

    def binary(self, data: bytes) -> None:
        self._said.append(("out", data.decode(errors="surrogateescape")))

    def say(self, text: str) -> None:
        self._said.append(("err", text))

    def done(self) -> None:
        """Keep that one more input is done."""
        self._said.append(("done", ""))

    def mark(self, key: str) -> None:
        """Keep by which key the next lines are sorted."""
        self._said.append(("mark", key))

    def take(self) -> list[tuple[str, str]]:
        """Everything said since the last call."""
        said, self._said = self._said, []
        return said

    @property
    def live(self) -> bool:
        return False


def repeat(
    said: Iterable[Sequence[str]], console: Console, done: Callable[[], None] | None = None
) -> None:
    """Say on a console what a `Recorder` has kept."""
    for kind, text in said:
        if kind == "out":
            console.binary(text.encode(errors="surrogateescape"))
        elif kind == "err":
            console.say(text)
        elif kind == "mark":
            console.mark(text)
        elif done is not None:
            done()


def by_mark(said: Iterable[tuple[str, str]], key: Callable[[str], float]) -> list[tuple[str, str]]:
    """Everything said, in the order of the marks, the largest first; equal ones stay in theirs."""
    groups: list[tuple[float, list[tuple[str, str]]]] = []
    for kind, text in said:
        if kind == "mark":
            groups.append((key(text), []))
        else:
            groups[-1][1].append((kind, text))
    return [line for _, lines in sorted(groups, key=lambda g: -g[0]) for line in lines]


def open_console(quiet: bool, verbose: bool) -> Console:
    """The console of a command. That of a helper is silent: number 0 speaks for it."""
    return Recorder(quiet, verbose) if is_helper() else Console(quiet, verbose)


def in_blocks(items: Sequence[_T], length: int) -> list[Sequence[_T]]:
    """Neighbours, so many at a time. They do not depend on the number of processes."""
    return [items[first : first + length] for first in range(0, len(items), length)]


class Shares:
    """Lets a team work on blocks, and reports on the console what it says.

    Args:
        team: The processes.
        console: Of the command.
        sheets: Rows that work adds to them come in order, too.
        done: Is called behind each input.
    """

    def __init__(
        self, team: Team, console: Console, sheets: Sequence[Sheet], done: Callable[[], None]
    ) -> None:
        self._team, self._console, self._sheets, self._done = team, console, sheets, done
        self._recorder = None if team.alone else Recorder(console.quiet, console.verbose)

    @property
    def console(self) -> Console:
        """The one that work must use."""
        return self._recorder or self._console

    def done(self) -> None:
        """Note that work has done one more input."""
        if self._recorder is None:
            self._done()
        else:
            self._recorder.done()

    def run(
        self,
        blocks: Sequence[Sequence[_T]],
        work: Callable[[Sequence[_T]], bool],
        name: Callable[[_T], str],
    ) -> bool:
        """Do all blocks.

        Args:
            blocks: Of inputs.
            work: Does one, and says whether all its inputs succeeded.
            name: Of an input, for messages.

        Returns:
            Whether all succeeded. In a helper it does not return.

        Raises:
            CaflowError: `work` does.
        """
        sound, reported = True, 0
        try:
            for outcome in self._team.each(len(blocks), lambda n: self._do(work, blocks[n])):
                sound &= self._report(outcome)
                reported += 1
        except KeyboardInterrupt:
            if self._recorder is not None and self._team.rank == 0:
                missing = [name(one) for block in blocks[reported:] for one in block]
                first, more = ", ".join(missing[:_NAMED]), len(missing) - _NAMED
                self._console.note(
                    f"not reported: {first}{f' and {more} more' if more > 0 else ''}"
                )
            raise
        return sound

    def _do(self, work: Callable[[Sequence[_T]], bool], block: Sequence[_T]) -> Any:
        before = [len(sheet) for sheet in self._sheets]
        sound = work(block)
        if self._recorder is None:
            return sound
        drawn = [sheet.take(first) for sheet, first in zip(self._sheets, before, strict=True)]
        rows = [[_as_text(row) for row in own] for own in drawn]
        return {"sound": sound, "said": self._recorder.take(), "rows": rows}

    def _report(self, outcome: Any) -> bool:
        if self._recorder is None:
            return bool(outcome)
        repeat(outcome["said"], self._console, self._done)
        for sheet, rows in zip(self._sheets, outcome["rows"], strict=True):
            for row in rows:
                sheet.add_png(base64.b64decode(row))
        return bool(outcome["sound"])


def _as_text(row: Any) -> str:
    from ..images import encode_png

    return base64.b64encode(encode_png(row)).decode()
