"""Help without noise, and a word for what somebody meant to type."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

__all__ = ["Command", "Group", "meant"]

# Words of other programs, and of other places.
_WORDS = {
    "superres": "upscale enlarge upsample sr enhance super-resolution superresolution",
    "colorize": "colour color colourize colorise colourise recolor recolour",
    "inpaint": "fill repair erase remove heal outpaint restore",
    "sample": "generate draw translate pix2pix",
    "score": "likelihood rate",
    "evaluate": "eval measure metrics compare benchmark test",
    "train": "fit learn finetune fine-tune",
    "models": "model list download pull hub",
}
_MEANT = {word: command for command, words in _WORDS.items() for word in words.split()}


def meant(word: str, commands: Iterable[str]) -> str | None:
    """The command that an unknown word probably means; None: no idea.

    Examples:
        >>> meant("upscale", ["superres", "inpaint"])
        'superres'
        >>> meant("inpiant", ["superres", "inpaint"])
        'inpaint'
    """
    commands = list(commands)
    known = _MEANT.get(word.lower())
    if known in commands:
        return known
    near = difflib.get_close_matches(word.lower(), commands, n=1)
    return near[0] if near else None


class _Quiet:
    """A command whose flags are shown without `<bool>`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """All parameters, with the one of `--help`."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for param in params:
            if getattr(param, "is_flag", False) and param.metavar is None:
                param.metavar = ""
        return params


class Command(_Quiet, TyperCommand):
    """A command."""


class Group(_Quiet, TyperGroup):
    """A group of commands."""
