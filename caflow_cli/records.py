"""Records: dataclasses whose annotations say which values their fields may have, and more.

A field's annotation is a plain type, a `Literal` of choices, a union, a tuple of any length,
another dataclass, or `Annotated` with a `Constraint` for its values:

    scales: Annotated[int, number(ge=1, le=12)] = 3
    conditional: Literal["caflow", "shared"] = "caflow"
    hidden: Count | tuple[Count, ...] = 48

Its `__post_init__` calls `check`, before any checks across fields; `parse` builds it from a table
in a file. Numbers and arrays of NumPy and PyTorch are converted to those of Python; bools are not
numbers.

A `Setting` in an annotation makes the field an option of the command (`cli.options.expanded`) and
describes it in JSON lines (`.ci/schema`).
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import math
import operator
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, TypeVar, Union

from .errors import CaflowError, check_usage, reason_of, usage_error

if sys.version_info >= (3, 11):
    from typing import Unpack as Unpack

    import tomllib
else:
    import tomli as tomllib
    from typing_extensions import Unpack as Unpack

Table: TypeAlias = dict[str, Any]  # nested plain values by name, as in JSON and TOML
_T = TypeVar("_T")
_MOST_NESTED = 20  # ours are 3 deep
_MAX_TOML = 16_000  # bytes; ours have 5,000, and `tomllib` takes 10 GB for a key of 50,000 parts
_NAMES = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    tuple: "a list, such as [2, 1]",
    type(None): "nothing",
}
# Of bounds of numbers: the comparison, the keyword of JSON Schema, and what errors say.
_BOUNDS = {
    "ge": (operator.ge, "minimum", "{:,} or more"),
    "gt": (operator.gt, "exclusiveMinimum", "above {:,}"),
    "le": (operator.le, "maximum", "at most {:,}"),
    "lt": (operator.lt, "exclusiveMaximum", "below {:,}"),
}


class Complaint(NamedTuple):
    """What an error says of a wrong value that is an option or keyword, in better words."""

    message: str  # with {} for the value
    hint: str


@dataclass(frozen=True)
class Constraint:
    """A condition on values beyond their type, and a description of valid values for errors."""

    holds: Callable[[Any], bool]
    wanted: str
    said: Complaint | None = None
    schema: tuple[tuple[str, Any], ...] = ()  # its keywords in JSON Schema

    def of(self, value: Any) -> Any:
        """The value, if it is right; otherwise CaflowError with what is `said`, or ValueError."""
        if self.holds(value):
            return value
        if self.said is None:
            raise ValueError(value)
        raise usage_error(self.said.message.format(short(value)), self.said.hint)

    @classmethod
    def text(cls, pattern: str, wanted: str) -> Constraint:
        return cls(lambda text: re.fullmatch(pattern, text) is not None, wanted)


def number(*, said: Complaint | None = None, **bounds: float) -> Constraint:
    """A number that is at least `ge`, above `gt`, at most `le` and below `lt`."""
    rules = [(*_BOUNDS[name], bound) for name, bound in bounds.items()]
    wanted = ", ".join(words.format(bound) for _, _, words, bound in rules)
    if bounds.keys() == {"ge", "le"}:
        wanted = "{ge:,} to {le:,}".format(**bounds)
    schema = tuple((keyword, bound) for _, keyword, _, bound in rules)
    return Constraint(lambda v: all(fits(v, b) for fits, _, _, b in rules), wanted, said, schema)


def one_of(choices: Sequence[str], said: Complaint) -> Constraint:
    """A text that is one of these."""
    return Constraint(choices.__contains__, " or ".join(choices), said, (("enum", tuple(choices)),))


class Parsed(NamedTuple):
    """A record holds what `of` makes of a value; it raises CaflowError for what it cannot take."""

    of: Callable[[Any], Any]
    wanted: str


class Setting(NamedTuple):
    """What the command and JSON say of a field, whose annotation has its type and rules."""

    # Its names and the placeholder of its value: "--candidates -m M"; empty for a keyword alone.
    option: str = ""
    help: str = ""
    panel: str | None = None  # group of the help; None: a common option
    default: Any = None  # of a keyword, which has no default of its own
    commands: Sequence[str] = ()  # those that have it; empty: all that have the record
    line: Any = None  # its annotation in JSON lines, if it is another
    omitted: Any = ...  # the value that JSON lines omit
    of: str = ""  # the only kind of input to which it applies: "images", "fields" or "masks"


Count = Annotated[int, number(ge=1)]
Size = Annotated[int, number(ge=0)]
Positive = Annotated[float, number(gt=0)]
NonNegative = Annotated[float, number(ge=0)]
# Printable, so that it cannot move a terminal's cursor.
Line = Annotated[
    str,
    Constraint(lambda text: text.strip() != "" and text.isprintable(), "a line of printable text"),
]
Share = Annotated[float, number(ge=0, le=1)]
Between = Annotated[float, number(gt=0, lt=1)]


def parse(cls: type[_T], values: Any, where: str = "") -> _T:
    """Build a dataclass from nested plain values, strictly.

    Args:
        cls: A dataclass.
        values: A table, as a dict by field. Ints are accepted as floats, and lists as tuples.
        where: The table's name, for messages.

    Raises:
        CaflowError: (exit 2) a key is unknown (the hint suggests the nearest one) or missing, or a
            value has the wrong type, is out of range, is not one of the choices, or is not finite.
    """
    if not isinstance(values, dict):
        message = f"{where or 'the config'} is {short(values)}, not a table"
        raise usage_error(message, "write it as a table of keys")
    prefix = f"{where}." if where else ""
    record: Any = cls
    check_names(values, kinds_of(record), "key", prefix)
    for field in dataclasses.fields(record):
        optional = not field.default is field.default_factory is dataclasses.MISSING
        key = prefix + field.name
        check_usage(optional or field.name in values, f"key {key!r} is missing", f"set {key}")
    return cls(**values)


def rebuilt(cls: Any, values: Table) -> Any:
    """The record that `dataclasses.asdict` and JSON made these values of; nothing is checked again,
    and what they leave out has its default."""
    record = cls.__new__(cls)
    for field in dataclasses.fields(cls):
        value = values.get(field.name, field.default)
        if isinstance(value, dict):
            kind = kinds_of(cls)[field.name]
            value = rebuilt(next(iter(typing.get_args(kind)), kind), value)
        object.__setattr__(record, field.name, tuple(value) if isinstance(value, list) else value)
    return record


def check_names(
    names: Iterable[str], known: Iterable[str], kind: str = "keyword", prefix: str = ""
) -> None:
    """Check names against the known ones; CaflowError (exit 2) suggests the nearest.

    A function with `**options: Unpack[Options]`, where `Options` is a `TypedDict`, calls
    `check_names(options, Options.__annotations__)`. Import `Unpack` from here.
    """
    valid = [*known]
    for name in (str(name)[:80] for name in names):
        if name not in valid:
            near = prefix + difflib.get_close_matches(name, valid, n=1, cutoff=0)[0]
            raise usage_error(f"unknown {kind} {prefix + name!r}", f"did you mean {near!r}?")


def check(record: Any, where: str = "") -> None:
    """Check and convert every field of a dataclass; raise CaflowError (exit 2) as `parse` does."""
    prefix = f"{where}." if where else ""
    for name, kind in kinds_of(record.__class__).items():
        value = checked(kind, getattr(record, name), prefix + name)
        object.__setattr__(record, name, value)


def keywords(options: Mapping[str, Any], cls: Any) -> Table:
    """Check and convert keywords, `cls` being the `TypedDict` that types them.

    Raises:
        CaflowError: (exit 2) a name is unknown (the hint suggests the nearest), or a value does not
            fit its annotation.
    """
    kinds = kinds_of(cls)
    check_names(options, kinds)
    return {name: checked(kinds[name], value, name) for name, value in options.items()}


@functools.lru_cache
def kinds_of(cls: Any) -> dict[str, Any]:
    """The annotations of a record's fields, or of the keys of a `TypedDict`."""
    types = typing.get_type_hints(cls, include_extras=True)
    if dataclasses.is_dataclass(cls):
        return {field.name: types[field.name] for field in dataclasses.fields(cls)}
    return types


def settings(cls: Any) -> dict[str, tuple[Any, Setting]]:
    """The annotation and the `Setting` of every field or key that has one, by name."""
    return {
        name: (kind, argument)
        for name, kind in kinds_of(cls).items()
        for argument in getattr(kind, "__metadata__", ())
        if isinstance(argument, Setting)
    }


def plain(value: Any) -> Any:
    """The numbers of an array or a tensor as those of Python; anything else as it is."""
    return value.tolist() if hasattr(value, "tolist") else value


def checked(kind: Any, value: Any, path: str) -> Any:
    """Check and convert a value by an annotation; `path` names it in errors."""
    try:
        return _convert(kind, value, path)
    except (ValueError, OverflowError):
        hint = f"set {path} to {_named(kind)}"
        raise usage_error(f"{path} is {short(value)}", hint) from None


def _annotated(base: Any, rules: Iterable[Any], value: Any, path: str) -> Any:
    """Convert a value of the type `base`, and check it by these rules."""
    rules = [rule for rule in rules if isinstance(rule, Constraint | Parsed)]
    if not any(isinstance(rule, Parsed) for rule in rules):
        value = _convert(base, value, path)
    try:
        for rule in rules:
            value = rule.of(value)
    except CaflowError:
        if "." in path:  # in a file: the error names the key
            raise ValueError(path) from None
        raise
    return value


def _convert(kind: Any, value: Any, path: str) -> Any:
    value = plain(value)
    origin: Any = typing.get_origin(kind) or kind
    arguments = typing.get_args(kind)
    if origin is Annotated:
        return _annotated(arguments[0], arguments[1:], value, path)
    if origin in (Union, types.UnionType):
        for option in reversed(arguments):  # None first: a dataclass rejects it with another error
            with suppress(ValueError, OverflowError):
                return _convert(option, value, path)
        fits = False
    elif origin is Literal:
        fits = type(value) in map(type, arguments) and value in arguments
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(_convert(arguments[0], part, path) for part in value)
    elif origin in (int, float):
        if origin is float and type(value) is int:
            value = float(value)
        fits = type(value) is origin and math.isfinite(value)  # a bool is an int to `isinstance`
    else:
        fits = origin is Any or isinstance(value, origin)
        if not fits and dataclasses.is_dataclass(origin):
            return parse(origin, value, path)  # type: ignore[arg-type]
    if not fits:
        raise ValueError(path)
    return value


def _named(kind: Any) -> str:
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin is Annotated:
        base, *rules = arguments
        wanted = [rule.wanted for rule in rules if isinstance(rule, Constraint | Parsed)]
        if base is not str and not any(isinstance(rule, Parsed) for rule in rules):
            wanted = [_named(base), *wanted]
        return ", ".join(wanted)
    if origin in (Union, types.UnionType):
        *others, last = map(_named, arguments)
        return f"{', '.join(others)}, or {last}" if "," in others[0] else f"{others[0]} or {last}"
    if origin is Literal:
        return " or ".join(map(str, arguments))
    return _NAMES.get(origin or kind, "a table")


def short(value: object) -> str:
    """The repr of a value, on one line of at most 80 characters."""
    try:
        text = repr(value)
    except RecursionError:
        text = f"a {type(value).__name__}, nested too deeply"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _nested(value: object, most: int) -> bool:
    """Whether tables and lists lie more than `most` deep within one another."""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return False
    return most == 0 or any(_nested(part, most - 1) for part in value)


def read_toml(path: str | Path) -> Table:
    """Read a TOML file of at most 16 kB, whose tables lie at most 20 deep.

    Raises:
        CaflowError: (exit 2) it cannot be read, is larger, or is not TOML; the message names the
            line.
    """
    text = ""
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_TOML + 1)
        if len(data) > _MAX_TOML:
            raise ValueError("it has more than 16 kB")
        text = data.decode("utf-8")
        table = tomllib.loads(text)
        if _nested(table, _MOST_NESTED):
            raise ValueError(f"it is nested more than {_MOST_NESTED} deep")
        return table
    except (OSError, RecursionError, ValueError) as error:  # ValueError: not UTF-8, or not TOML
        end = f"line {text.count(chr(10)) + 1}"
        reason = reason_of(error).replace("end of document", end)
        message = f"{str(path)!r} cannot be read: {reason}"
        raise usage_error(message, "fix the file, or leave it out") from error
