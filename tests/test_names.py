"""The grammar of names: `face_superres_01` is a result of `face`."""

from pathlib import Path

import pytest

from caflow_cli.names import COMPANIONS, ENDS, INFRARED, Name, commands, make, numbered, parse


def test_results_are_numbered():
    assert numbered(Path("a/x.png"), 1) == [Path("a/x.png")]
    assert numbered(Path("a/x.png"), 2) == [Path("a/x_01.png"), Path("a/x_02.png")]
    assert numbered(Path("x.png"), 100)[-1] == Path("x_100.png")


def test_what_is_made_is_parsed():
    for stem in ("x", "a_b", "x_superres", "scan_IR"):
        for command in commands():
            for parts in [("",), ("07",), ("123",), ("", ENDS[1]), ("crop",), ("crop", "01")]:
                name = parse(make(stem, command, *parts))
                assert (name.source, name.kind) == (stem, command)
                assert name.is_result == (name.end == name.part == "")
                assert "_".join(filter(None, name)) == make(stem, command, *parts)
        for kind in (*COMPANIONS, *INFRARED):
            assert parse(make(stem, kind)) == Name(stem, kind)
            assert not parse(make(stem, kind)).is_result


@pytest.mark.parametrize(
    "stem", ["x", "x_superres_", "_superres", "superres_01", "x_upscale", "x_superres_a", "x_01"]
)
def test_other_names_are_whole(stem):
    assert parse(stem) == Name(stem)
    assert not parse(stem).is_result
