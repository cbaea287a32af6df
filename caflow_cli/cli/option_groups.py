"""Options in groups: dataclasses that several commands may share."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from typing import Any

import typer

from ..errors import CaflowError
from .user_config import name_origins

__all__ = ["expanded"]


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """Replace every parameter of a dataclass type by one option for each field.

    Typer reads the options of a command from its signature. This function writes that signature, so
    that commands share options without repeating them. It also joins the lines of each paragraph of
    the help, and has errors say where a value that was not typed comes from.
    """
    hints = typing.get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {  # dataclasses
        name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)
    }
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("context", keyword, annotation=typer.Context)]
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            types = typing.get_type_hints(groups[name], include_extras=True)
            parameters += [
                inspect.Parameter(
                    f.name,
                    keyword,
                    default=inspect.Parameter.empty
                    if f.default is dataclasses.MISSING
                    else f.default,
                    annotation=types[f.name],
                )
                for f in dataclasses.fields(groups[name])
            ]
        elif name != "context":
            parameters.append(parameter.replace(annotation=hints[name], kind=keyword))

    def run(context: typer.Context, **values: Any) -> None:
        if isinstance(context.obj, CaflowError):  # of the user's file
            raise context.obj
        for name, kind in groups.items():
            fields = [field.name for field in dataclasses.fields(kind)]
            values[name] = kind(**{field: values.pop(field) for field in fields})
        if "context" in hints:
            values["context"] = context
        try:
            command(**values)
        except CaflowError as error:
            name_origins(error, context)
            raise

    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    run.__name__ = command.__name__
    run.__doc__ = "\n\n".join(" ".join(lines.split()) for lines in paragraphs)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run
