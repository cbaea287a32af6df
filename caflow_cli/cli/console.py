"""The one place for output: results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TextIO

from ..errors import CaflowError, usage_error
from ..records import Setting
from ..version import SCHEMA

if TYPE_CHECKING:
    from rich.progress import Progress


QUIET = "Print only results and errors."


def shown(text: str, stream: TextIO) -> str:
    """A line as it is written to a stream: on a terminal, with what could control it escaped, as
    names of files, descriptions and texts of models may hold anything. A pipe gets it as it is."""
    if text.isprintable() or not stream.isatty():
        return text
    return "".join(c if c.isprintable() or c == "\t" else ascii(c)[1:-1] for c in text)


def about(seconds: float) -> str:
    """A time, for messages: `about 12 min`."""
    return f"about {seconds:.0f} s" if seconds < 100 else f"about {seconds / 60:.0f} min"


_ONLY_FOR = {"fields": "for measured fields", "masks": "for a model that fills holes"}


def say(*lines: str) -> None:
    """Write lines to stderr, each with the prefix of `Console`, unless it is closed."""
    with suppress(OSError, ValueError):  # a closed pipe, a closed file
        each = [f"{Console.prefix}{shown(line, sys.stderr)}\n" for line in lines]
        sys.stderr.write("".join(each))
        sys.stderr.flush()


def _silent(*_: object) -> None:
    """What `steps` shows with -q."""


@dataclass
class Console:
    """The output streams of one command, with its options."""

    json: Annotated[bool, Setting("--json", "Write each result to stdout as a JSON line.")] = False
    quiet: Annotated[bool, Setting("--quiet -q", QUIET)] = False
    verbose: Annotated[
        bool, Setting("--verbose -v", "Print every note, not one of each kind and a count.")
    ] = False
    command: str = ""  # its name in JSON: "superres", "models list"

    pause: ClassVar[float] = 30.0  # seconds between lines of progress, if there is no bar
    # The typed options that apply to one kind of input: "images", "fields" or "masks".
    typed: dict[str, str] = field(default_factory=dict, init=False)
    prefix: ClassVar[str] = ""  # of each line on stderr: the command, in a pipe
    failed: bool = field(default=False, init=False)  # an error was written: exit code 1
    _display: Any = field(default=None, init=False)  # the `Progress` that is shown
    _notes: Counter[str] = field(default_factory=Counter, init=False)  # by kind, see `about`
    _beaten: str = field(default="", init=False)  # the last text of `heartbeat`
    _last_beat: float = field(default_factory=time.monotonic, init=False)  # of `heartbeat`

    def check_applies(self, *kinds: str) -> None:
        """Raise CaflowError (exit 2) for typed options that do not apply to such an input."""
        others = {name: of for name, of in self.typed.items() if of not in kinds}
        if others:
            why = "not for fields" if "fields" in kinds else _ONLY_FOR[min(others.values())]
            hint = "leave them out" if len(others) > 1 else "leave it out"
            if "fields" in others.values():
                hint += ", or --model of a model of fields (docs/fields.md)"
            raise usage_error(f"{', '.join(others)}: {why}", hint)

    def result(self, fields: Mapping[str, object], lines: Iterable[str] = ()) -> None:
        """Write one result: `fields` as a JSON line, or, without --json, the text `lines`."""
        self.text(lines)
        if self.json:
            record = {"schema": SCHEMA, "command": self.command, **fields}
            self.binary(json.dumps(record, allow_nan=False).encode() + b"\n")

    def text(self, lines: Iterable[str]) -> None:
        """Write lines of text, unless results are JSON."""
        for line in () if self.json else lines:
            text = f"{shown(line, sys.stdout)}\n"
            self.binary(text.encode(errors="surrogateescape"))  # preserve undecodable names

    def binary(self, data: bytes) -> None:
        """Write bytes to stdout, and flush it."""
        # If both go to a terminal, hide the progress bar, or the line would be written into it.
        display = self._display if sys.stdout.isatty() else None
        if display is not None:
            display.stop()
        try:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:  # `caflow ... | head -1`
            raise
        except OSError as error:
            raise CaflowError(f"cannot write to stdout: {error.strerror}", "-o FILE") from error
        finally:
            if display is not None:
                display.start()

    def note(self, *lines: str) -> None:
        """Write lines to stderr, unless `-q` is given."""
        if not self.quiet:
            say(*lines)

    def about(self, name: str, text: str, kind: str = "") -> None:
        """Write a note on one image. Of several notes of one kind, which is the text by default,
        only the first is written, unless `-v` is given; `count_notes` writes the number of others.
        """
        kind = kind or text
        self._notes[kind] += 1
        if self.verbose or self._notes[kind] == 1:
            self.note(f"{name}: {text}")

    def count_notes(self) -> None:
        """Write how many notes of each kind were not written, at the end of the command."""
        for kind, count in self._notes.items():
            if count > 1 and not self.verbose:
                self.note(f"… and {count - 1} more: {kind}")

    def heartbeat(self, text: str, now: bool = False) -> None:
        """Write a progress note every 30 seconds, or `now`, if there is no bar. A text that was the
        last one, too, is not repeated: its first words say what still goes on."""
        if not self.live and (now or time.monotonic() - self._last_beat >= self.pause):
            self._last_beat = time.monotonic()
            again, self._beaten = text == self._beaten, text
            self.note(f"still: {text.partition('  ')[0]}" if again else text)

    def steps(self, what: str) -> AbstractContextManager[Callable[..., None]]:
        """Show progress on a number of images by the function that is entered. Its arguments are
        how many are done, in fractions, of how many (0 if unknown), and what is being done.
        """
        return nullcontext(_silent) if self.quiet else self._steps(what)

    @contextmanager
    def _steps(self, what: str) -> Iterator[Callable[..., None]]:
        start = time.monotonic()
        with self.progress() as display:
            bar = display.add_task(what, total=None)

            def show(done: float, total: int, what: str = what) -> None:
                what = shown(what, sys.stderr)
                display.update(bar, completed=done, total=total or None, description=what)
                text = f"{int(done)} of {total} images" if total else f"{done} images"
                if done % 1:
                    text += f", this one {100 * (done % 1):.0f} %"
                if 0 < done < total:
                    seconds = (time.monotonic() - start) * (total - done) / done
                    text += f", {timedelta(seconds=round(seconds))} left"
                self.heartbeat(text)

            yield show

    def error(self, error: CaflowError) -> None:
        """Write two lines to stderr: what is wrong, and what to type instead."""
        self.failed = True
        say(f"error: {error.message}", f"hint: {error.hint}")

    def failure(self, names: Mapping[str, str], error: CaflowError) -> None:
        """Write the error of one input to stderr, and its JSON line, with names as typed. A message
        that does not name the input begins with its name.
        """
        of = [name for key, name in names.items() if key in ("input", "cond", "target")]
        quoted = ["'stdin'" if name == "-" else repr(name) for name in of]
        if not any(name in error.message for name in (*quoted, *of)):
            error.message = f"{of[-1]}: {error.message}"
        self.error(error)
        self.result({**names, "status": "error", "error": error.as_json()})

    @property
    def live(self) -> bool:
        """Whether to show a progress bar: stderr is a terminal."""
        return not self.quiet and sys.stderr.isatty()

    @contextmanager
    def progress(self, *columns: str) -> Iterator[Progress]:
        """A Rich progress display on stderr, if it is a terminal, with `columns` after each bar."""
        from rich.console import Console as RichConsole
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        display = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            *[TextColumn(column, markup=False) for column in columns],
            TimeRemainingColumn(),
            console=RichConsole(stderr=True),
            transient=True,
            disable=not self.live,
        )
        # Rich before 14.3 writes an empty line at the end even if the display is disabled.
        self._display = display if self.live else None
        with self._display or nullcontext():
            yield display
        self._display = None
