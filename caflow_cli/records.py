"""Dataclasses from plain values (JSON, TOML): their annotations say what each field may hold.

A field is of a type, a `Literal` of choices, a union, a tuple of any length, another dataclass, or
`Annotated` with a `Rule` for its values:

    scales: Annotated[int, number(ge=1, le=12)] = 3
    conditional: Literal["caflow", "shared"] = "caflow"
    hidden: Count | tuple[Count, ...] = 48

`parse` builds such a record from a table of a file. `check` does the same for one that Python code
builds: its `__post_init__` calls it, before any checks across fields.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, Union

from .errors import EXIT_USAGE, CaflowError

__all__ = [
    "Count",
    "NonNegative",
    "Positive",
    "Rule",
    "Share",
    "Size",
    "check",
    "number",
    "parse",
    "short",
]

_T = TypeVar("_T")
_NAMES = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    type(None): "nothing",
}


@dataclass(frozen=True)
class Rule:
    """A condition on values beyond their type, and how a hint names such a value."""

    holds: Callable[[Any], bool]
    wanted: str

    @classmethod
    def text(cls, pattern: str, wanted: str) -> Rule:
        """A text that matches a regular expression as a whole."""
        return cls(lambda text: re.fullmatch(pattern, text) is not None, wanted)


def number(
    *, ge: float = -math.inf, gt: float = -math.inf, le: float = math.inf, lt: float = math.inf
) -> Rule:
    """A number that is at least `ge`, above `gt`, at most `le` and below `lt`."""
    named = {"{:,} or more": ge, "above {:,}": gt, "at most {:,}": le, "below {:,}": lt}
    parts = [text.format(bound) for text, bound in named.items() if math.isfinite(bound)]
    if math.isfinite(ge) and math.isfinite(le):
        parts = [f"{ge:,} to {le:,}"]
    return Rule(lambda v: ge <= v <= le and gt < v < lt, ", ".join(parts))


Count = Annotated[int, number(ge=1)]
Size = Annotated[int, number(ge=0)]
Positive = Annotated[float, number(gt=0)]
NonNegative = Annotated[float, number(ge=0)]
Share = Annotated[float, number(ge=0, le=1)]


def parse(cls: type[_T], values: Any, where: str = "") -> _T:
    """Build a dataclass from nested plain values, strictly.

    Args:
        cls: A dataclass.
        values: A table: a dict of fields. An int is taken for a float, a list for a tuple.
        where: The table's name, for messages.

    Raises:
        CaflowError: (exit 2) a key is unknown (the hint names the nearest one) or missing, or a
            value is of another type, out of range, none of the choices, or not finite.
    """
    if not isinstance(values, dict):
        name = where or "the config"
        raise CaflowError(
            f"{name} is {short(values)}, not a table", "write it as a table of keys", EXIT_USAGE
        )
    prefix = f"{where}." if where else ""
    own: Any = cls
    kinds = _kinds(own)
    given: dict[str, Any] = {}
    for key, value in values.items():
        key = str(key)[:80]
        if key not in kinds:
            near = difflib.get_close_matches(key, kinds, n=1, cutoff=0)[0]
            raise CaflowError(
                f"unknown key {prefix + key!r}",
                f"did you mean {prefix + near!r}?",
                EXIT_USAGE,
            )
        given[key] = _read(kinds[key], value, prefix + key)
    for field in dataclasses.fields(own):
        required = field.default is field.default_factory is dataclasses.MISSING
        if required and field.name not in given:
            key = prefix + field.name
            raise CaflowError(f"key {key!r} is missing", f"set {key}", EXIT_USAGE)
    return cls(**given)


def check(record: Any, where: str = "") -> None:
    """Check every field of a dataclass. Raises CaflowError (exit 2) as `parse` does."""
    for name, kind in _kinds(record.__class__).items():
        _read(kind, getattr(record, name), f"{where}.{name}" if where else name)


@functools.lru_cache
def _kinds(cls: Any) -> dict[str, Any]:
    """The type of each field."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def _read(kind: Any, value: Any, path: str) -> Any:
    """Convert a value to the type of its field, or say what it should be."""
    result, fits = _convert(kind, value, path)
    if not fits:
        wanted = _named(kind)
        raise CaflowError(f"{path} is {short(value)}", f"set {path} to {wanted}", EXIT_USAGE)
    return result


def _convert(kind: Any, value: Any, path: str) -> tuple[Any, bool]:
    """The converted value, and whether it is of that type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        base, *rules = arguments
        result, fits = _convert(base, value, path)
        return result, fits and all(rule.holds(result) for rule in rules)
    if origin in (Union, types.UnionType):
        found = (_convert(option, value, path) for option in arguments)
        return next(((result, True) for result, fits in found if fits), (value, False))
    if origin is Literal:
        return value, type(value) in map(type, arguments) and value in arguments
    if origin is tuple:
        if not isinstance(value, list | tuple):
            return value, False
        parts = [_convert(arguments[0], part, path) for part in value]
        return tuple(result for result, _ in parts), all(fits for _, fits in parts)
    if dataclasses.is_dataclass(kind):
        return (value if isinstance(value, kind) else parse(kind, value, path)), True  # type: ignore[arg-type]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**1023 else math.inf
    if kind in (int, float):  # to Python a bool is an int, too
        fits = isinstance(value, kind) and not isinstance(value, bool)
        return value, fits and math.isfinite(value)
    return value, kind is Any or isinstance(value, origin or kind)


def _named(kind: Any) -> str:
    """The name of a type's values in a hint."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        base, *rules = arguments
        wanted = [rule.wanted for rule in rules]
        return ", ".join(wanted if base is str else [_named(base), *wanted])
    if origin in (Union, types.UnionType, Literal):
        return " or ".join(_named(a) if origin is not Literal else str(a) for a in arguments)
    if origin is tuple:
        return "a list of such values"
    return _NAMES.get(origin or kind, "a table")


def short(value: object) -> str:
    """A value as Python writes it, on one line of at most 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
