"""Records from plain values: an annotation says all that a field may hold."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.records import (
    Constraint,
    Count,
    Positive,
    Share,
    check,
    check_names,
    number,
    parse,
    read_toml,
)


@dataclass(frozen=True)
class Inner:
    side: Annotated[int, number(ge=2, le=64)] = 4

    def __post_init__(self) -> None:
        check(self, "inner")


@dataclass(frozen=True)
class Outer:
    name: Annotated[str, Constraint.text("[a-z]+", "lower-case letters")]
    kind: Literal["one", "two"] = "one"
    views: Literal[1, 2, 4] = 1
    rate: Positive = 1.0
    share: Share = 0.5
    widths: Count | tuple[Count, ...] = 8
    tau: float | None = None
    on: bool = False
    free: dict[str, Any] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)

    def __post_init__(self) -> None:
        check(self)


def test_plain_values_become_a_record():
    values = {"name": "a", "rate": 2, "widths": [1, 2], "tau": None, "inner": {"side": 3}}
    record = parse(Outer, values)
    assert record == Outer("a", rate=2.0, widths=(1, 2), inner=Inner(3))
    assert isinstance(record.rate, float)


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        ({"kind": "three"}, "kind is 'three'", "set kind to one or two"),
        ({"views": True}, "views is True", "set views to 1 or 2 or 4"),
        ({"rate": 0}, "rate is 0", "set rate to a number, above 0"),
        ({"rate": math.nan}, "rate is nan", "set rate to a number, above 0"),
        ({"widths": 10**400}, "widths is 1000", "set widths to an integer"),
        ({"rate": 10**400}, "rate is 1000", "set rate to a number, above 0"),
        ({"tau": math.inf}, "tau is inf", "set tau to a number or nothing"),
        ({"share": 1.5}, "share is 1.5", "set share to a number, 0 to 1"),
        (
            {"widths": [1, 0]},
            "widths is [1, 0]",
            "set widths to an integer, 1 or more, or a list, such as [2, 1]",
        ),
        ({"widths": True}, "widths is True", "set widths to an integer"),
        ({"on": 1}, "on is 1", "set on to true or false"),
        ({"free": []}, "free is []", "set free to a table"),
        ({"name": "A"}, "name is 'A'", "set name to lower-case letters"),
        ({"name": "a\n"}, "name is 'a\\n'", "set name to lower-case letters"),
        ({"nam": "a"}, "unknown key 'nam'", "did you mean 'name'?"),
        ({"inner": {"sides": 3}}, "unknown key 'inner.sides'", "did you mean 'inner.side'?"),
        ({"inner": {"side": 65}}, "inner.side is 65", "set inner.side to an integer, 2 to 64"),
        ({"inner": 3}, "inner is 3, not a table", "write it as a table"),
    ],
)
def test_any_other_value_is_refused_with_what_would_do(values, message, hint):
    with pytest.raises(CaflowError) as caught:
        parse(Outer, {"name": "a", **values})
    assert caught.value.message.startswith(message)
    assert caught.value.hint.startswith(hint)
    assert caught.value.exit_code == 2


def test_a_missing_key_is_named():
    with pytest.raises(CaflowError, match=r"'where\.name' is missing"):
        parse(Outer, {}, "where")


def test_a_record_that_code_builds_is_checked_alike():
    with pytest.raises(CaflowError, match="share is 2"):
        Outer("a", share=2)
    assert Outer("a", rate=2).rate == 2


def test_a_keyword_that_does_not_exist_is_answered_with_the_nearest_one():
    check_names(["tau"], ["tau", "consistent"])
    with pytest.raises(CaflowError, match="unknown keyword 'consistant'") as caught:
        check_names(["tau", "consistant"], ["tau", "consistent"])
    assert caught.value.hint == "did you mean 'consistent'?"
    assert caught.value.exit_code == 2


def test_long_and_deep_values_are_cut_and_messages_are_one_line():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in ("A\n" * 100_000, deep):
        with pytest.raises(CaflowError) as caught:
            parse(Outer, {"name": value})
        assert len(caught.value.message) < 100
        assert len(caught.value.message.splitlines()) == 1


def test_toml_of_more_than_16_kb_is_not_parsed(tmp_path):
    """The time and memory of one key of many parts grow with the square of their number."""
    path = tmp_path / "a.toml"
    path.write_text(f"a = '{'x' * 15_000}'")
    assert len(read_toml(path)["a"]) == 15_000
    for text in ("a" + ".a" * 50_000 + " = 1", "x" * 16_001):
        path.write_text(text)
        with pytest.raises(CaflowError, match="more than 16 kB") as caught:
            read_toml(path)
        assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a = 1\nb =", "line 2"),
        (b"a = 1\na = 2", "overwrite"),
        (b"a = '\xff'", "utf-8"),
        (b"a." * 2999 + b"a = 1", "nested more than 20 deep"),
        (b"a = " + b"[" * 100 + b"]" * 100, "nested more than 20 deep"),
    ],
)
def test_toml_that_cannot_be_read_names_the_place(tmp_path, text, message):
    path = tmp_path / "a.toml"
    path.write_bytes(text)
    with pytest.raises(CaflowError, match=message):
        read_toml(path)
