"""Whether the value of an option is typed, or comes from the user's file."""

from __future__ import annotations

import pytest

from caflow_cli.cli.commands import colorize
from caflow_cli.cli.typed import as_typed, from_file, weaker


@pytest.fixture
def seen(run, tmp_path, monkeypatch):
    """`seen(look, file, *options, **environment)`: what `look` sees in `colorize`."""
    found = []

    def seen(look, file, *options, **environment):
        monkeypatch.setattr(
            colorize, "restore_pictures", lambda name, images, given: found.append(look(given))
        )
        (tmp_path / "mine.toml").write_text(file)
        done = run("colorize", "x.png", *options, CAFLOW_CONFIG="mine.toml", **environment)
        assert done.returncode == 0, done.stderr
        return found[-1]

    return seen


def test_options_and_the_environment_are_typed(seen):
    def look(given):
        return from_file("device")

    assert seen(look, "device = 'cpu'\n")
    assert not seen(look, "device = 'cpu'\n", "--device", "cpu")
    assert not seen(look, "device = 'cpu'\n", CAFLOW_DEVICE="cpu")
    assert not seen(look, "")
    assert not from_file("device")  # no command runs


def test_values_of_the_file_can_be_left_out(seen):
    file = "seed = 3\njson = true\n[colorize]\ncandidates = 4\n"

    def look(given):
        return as_typed(given), as_typed(given, ("seed",)), given

    typed, seedless, given = seen(look, file, "-n", 2)
    assert (typed.seed, typed.json, typed.candidates, typed.keep) == (0, False, None, 2)
    assert (seedless.seed, seedless.json, seedless.candidates) == (0, True, 4)
    assert (given.seed, given.json, given.candidates) == (3, True, 4)


def test_the_weaker_of_two_is_the_files(seen):
    def look(given):
        return weaker("seed", "tau"), weaker("tau", "seed")

    assert seen(look, "seed = 3\n", "--tau", "1") == ("seed", "seed")
    assert seen(look, "seed = 3\ntau = 1\n") == (None, None)
    assert seen(look, "", "--tau", "1") == (None, None)
