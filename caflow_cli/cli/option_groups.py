"""Commands whose options come in groups: dataclasses that several commands may share."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Any

__all__ = ["expanded"]


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """The command with every parameter of a dataclass type replaced by one option a field.

    Typer reads the options of a command from its signature; this writes that signature, so that
    commands share options without repeating them. Lines of a paragraph of its help are joined.
    """
    hints = typing.get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {  # dataclasses
        name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)
    }
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name not in groups:
            parameters.append(
                parameter.replace(
                    annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY
                )
            )
            continue
        kind = groups[parameter.name]
        types = typing.get_type_hints(kind, include_extras=True)
        parameters += [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=types[field.name],
            )
            for field in dataclasses.fields(kind)
        ]

    def run(**values: Any) -> None:
        for name, kind in groups.items():
            fields = [field.name for field in dataclasses.fields(kind)]
            values[name] = kind(**{field: values.pop(field) for field in fields})
        command(**values)

    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    run.__name__ = command.__name__
    run.__doc__ = "\n\n".join(" ".join(lines.split()) for lines in paragraphs)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
