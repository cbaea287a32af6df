"""Help without noise."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["Command", "Group"]


class _Quiet:
    """A command whose help shows neither `<bool>` beside flags nor a variable for each option."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters, with the one of `--help`."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            param.show_envvar = False
            if getattr(param, "is_flag", False) and param.metavar is None:
                param.metavar = ""
        return params


class Command(_Quiet, TyperCommand):
    """A command."""


class Group(_Quiet, TyperGroup):
    """A group of commands."""
