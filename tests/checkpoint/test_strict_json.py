"""JSON of strangers: one meaning, finite numbers, and an error that can be shown."""

import json

import pytest

from caflow_cli.checkpoint import strict_json


@pytest.mark.parametrize(
    "value", [{"a": [1, 2.5, None, True, "ü"], "b": {}}, [], "text", -0.0, 10**30]
)
def test_what_json_has_comes_back(value):
    text = json.dumps(value, ensure_ascii=False)
    assert strict_json(text) == strict_json(text.encode()) == value


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"a": 1, "a": 1}', "the key 'a' occurs twice"),
        ('{"a": {"b": 1, "b": 2}}', "the key 'b' occurs twice"),
        ("[NaN]", "NaN is not a finite number"),
        ("-Infinity", "-Infinity is not a finite number"),
        ("1e999", "1e999 is not a finite number"),
        ("[" * 100_000, "nested too deeply"),
        ("{]", "Expecting"),
        ("", "Expecting value"),
        (b'"\xff"', "utf-8"),
    ],
)
def test_anything_else_is_a_value_error(text, named):
    with pytest.raises(ValueError, match=named):
        strict_json(text)


def test_a_message_is_short_whatever_the_text():
    for text in ('{"KEY": 1, "KEY": 1}'.replace("KEY", "k" * 9999), "1e" + "9" * 4999):
        with pytest.raises(ValueError) as caught:
            strict_json(text)
        assert len(str(caught.value)) < 120
