"""What goes to which stream, and when."""

import io
import sys
from types import SimpleNamespace

import pytest

from caflow_cli.cli.console import Console
from caflow_cli.errors import CaflowError

from .scenes import save


def test_quiet_drops_notes_and_verbose_writes_all(capfd):
    for console in (Console(quiet=True, verbose=True), Console(), Console(verbose=True)):
        console.note("note")
        console.about("x", "text")
        console.about("y", "text")
        console.count_notes()
        with console.progress() as progress:  # off: Rich before 14.3 would write an empty line
            progress.advance(progress.add_task("x"))
    assert capfd.readouterr() == ("", "note\nx: text\n… and 1 more: text\nnote\nx: text\ny: text\n")


class Screen(io.StringIO):
    """A terminal that records the bytes written, each with whether a bar was shown then."""

    def __init__(self) -> None:
        super().__init__()
        self.display, self.written = None, []

    @property
    def buffer(self) -> SimpleNamespace:
        return SimpleNamespace(write=self._keep, flush=lambda: None)

    def _keep(self, data: bytes) -> None:
        self.written.append((data, self.display.live.is_started))

    def isatty(self) -> bool:
        return True


def test_results_on_a_terminal_are_not_written_into_the_bar(monkeypatch):
    screen, console, errors = Screen(), Console(), Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setenv("TERM", "xterm")
    with console.progress("{task.completed}") as screen.display:
        screen.display.add_task("superres", total=2)
        console.text(["x.png"])
        assert screen.display.live.is_started
    console.text(["y.png"])
    assert screen.written == [(b"x.png\n", False), (b"y.png\n", False)]
    assert "superres" in errors.getvalue()


def test_names_are_escaped_on_a_terminal_and_stay_as_they_are_in_a_pipe(run, tmp_path, model_file):
    """In results, errors, plans and notes."""
    name = "a\x1b[2J\n\x9b.png"
    save(tmp_path / name, 8, 12)
    (tmp_path / f"b{name}").write_bytes(b"no image")
    shared = ["superres", name, f"b{name}", "-m", 1, "--model", model_file, "-o", "o/"]
    for option in ("--dry-run", "--overwrite", "--skip-existing"):
        for screen in (True, False):
            done = run(*shared, option, terminal=screen, screen=screen)
            assert done.returncode == 1
            written = done.stdout + done.stderr
            assert (b"\x1b[2J" in written) != screen
            assert (name.removesuffix(".png").encode() in written) != screen
            assert rb"a\x1b[2J\n\x9b.png" in written  # in a pipe where a message quotes it


def test_progress_does_not_repeat_itself(monkeypatch, capsys):
    monkeypatch.setattr(Console, "pause", 0.0)
    console = Console()
    for text in ("step 10  0.1%  3.2 images/s", "step 10  0.1%  3.2 images/s", "step 20  0.2%"):
        console.heartbeat(text)
    said = ["step 10  0.1%  3.2 images/s", "still: step 10", "step 20  0.2%"]
    assert capsys.readouterr().err.splitlines() == said
    monkeypatch.setattr(Console, "pause", 60.0)
    console.heartbeat("step 30")
    console.heartbeat("step 40", now=True)
    assert capsys.readouterr().err == "step 40\n"


@pytest.mark.parametrize(
    ("message", "names", "begins"),
    [
        ("'a.png' is damaged", {"input": "a.png"}, "'a.png'"),
        (repr('it\'s "a".png') + " is damaged", {"input": 'it\'s "a".png'}, "'it"),
        ("'stdin' is damaged", {"input": "-"}, "'stdin'"),
        ("it is 3x3", {"input": "a.png", "mask": "m.png"}, "a.png: it is"),
        ("the mask 'm.png' is 3x3", {"input": "a.png", "mask": "m.png"}, "a.png: the mask"),
        ("the target is 3x3", {"cond": "a.png", "target": "b.png"}, "b.png: the target"),
        ("no match for 'a.png'", {"cond": "a.png", "target": "b/"}, "no match"),
    ],
)
def test_the_error_of_an_input_names_it_once(capsys, message, names, begins):
    Console().failure(names, CaflowError(message, "crop"))
    assert capsys.readouterr().err.startswith(f"error: {begins}")
