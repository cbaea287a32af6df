"""Options that are typed, or that the environment says, and those of the user's file."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, TypeVar

__all__ = ["as_typed", "from_file", "weaker"]

_Group = TypeVar("_Group", bound=Any)  # a dataclass of options


def from_file(name: str) -> bool:
    """Whether the running command has the value of an option from the user's file."""
    from typer._click.globals import get_current_context

    context = get_current_context(silent=True)
    source = None if context is None else context.get_parameter_source(name)
    return source is not None and source.name == "DEFAULT_MAP"


def as_typed(group: _Group, names: Collection[str] | None = None) -> _Group:
    """A group of options without the values of the user's file: they are at their defaults.

    Args:
        group: Each field is an option, of the same name.
        names: The options that this is for; None: all.
    """
    defaults = {
        field.name: field.default
        for field in dataclasses.fields(group)
        if (names is None or field.name in names) and from_file(field.name)
    }
    return dataclasses.replace(group, **defaults) if defaults else group


def weaker(one: str, other: str) -> str | None:
    """The name of the option whose value is of the user's file; None: both are, or neither is."""
    if from_file(one) == from_file(other):
        return None
    return one if from_file(one) else other
