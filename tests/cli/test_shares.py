"""What work says is kept, and said elsewhere or in another order."""

from __future__ import annotations

from caflow_cli.cli.console import Console
from caflow_cli.cli.shares import Recorder, by_mark, in_blocks, repeat
from caflow_cli.errors import CaflowError


def test_what_a_recorder_kept_is_said_in_order(capfdbinary):
    recorder = Recorder(quiet=False, verbose=False)
    recorder.result("caf\udce9.png")
    recorder.note("a note")
    recorder.detail("only with -v")
    recorder.done()
    recorder.error(CaflowError("wrong", "right"))
    assert capfdbinary.readouterr() == (b"", b"")
    advanced = []
    repeat(recorder.take(), Console(), lambda: advanced.append(1))
    assert capfdbinary.readouterr() == (b"caf\xe9.png\n", b"a note\nerror: wrong\nhint: right\n")
    assert advanced == [1]
    assert recorder.take() == []
    assert not recorder.live


def test_lines_are_sorted_by_their_marks():
    recorder = Recorder(quiet=True, verbose=False)
    for key, line in (("1.0", "low"), ("3.0", "high"), ("inf", "failed"), ("1.0", "low, later")):
        recorder.mark(key)
        recorder.say(line)
    assert [text for _, text in by_mark(recorder.take(), float)] == [
        *("failed", "high", "low", "low, later")
    ]


def test_blocks_do_not_depend_on_who_works():
    assert in_blocks([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    assert in_blocks([], 2) == []
