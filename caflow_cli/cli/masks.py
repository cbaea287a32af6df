"""Masks: which one belongs to a picture, and how it is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_USAGE, CaflowError
from ..paths import exists, is_folder
from .inputs import Source, find_inputs

if TYPE_CHECKING:
    import numpy as np

__all__ = ["by_stem", "named", "plan_masks", "read_mask"]

_NAMED = 5  # of the names that an error lists


def plan_masks(mask: str | None, sources: Sequence[Source]) -> list[Source | None]:
    """The mask of every picture: the file, or the picture of the same stem in the folder.

    Pictures found in folders of folders have their masks in folders of the same names.

    Raises:
        CaflowError: (exit 2) no such mask, a folder that lacks one or has two, or stdin asked for
            twice.
    """
    if mask is None:
        return [None] * len(sources)
    if mask == "-" and (len(sources) > 1 or any(source.name == "-" for source in sources)):
        raise CaflowError("stdin holds one picture", "name the mask's file", EXIT_USAGE)
    if not is_folder(mask):
        source = find_inputs([mask]).sources[0]
        if source.path is not None and not exists(source.path):
            raise CaflowError(f"no mask {mask!r}", "check the path for a typing error", EXIT_USAGE)
        return [source] * len(sources)
    masks = by_stem(find_inputs([mask], recursive=True).sources)
    missing = [source for source in sources if (source.inside, source.stem) not in masks]
    if missing:
        first = Path(mask) / missing[0].inside / f"{missing[0].stem}.png"
        raise CaflowError(
            f"no mask in {mask!r} for {named(missing)}",
            f"{first}, white where the picture is filled",
            EXIT_USAGE,
        )
    return [masks[source.inside, source.stem] for source in sources]


def by_stem(sources: Sequence[Source]) -> dict[tuple[Path, str], Source]:
    """Pictures by the folder within the one searched, and their stem.

    Raises:
        CaflowError: (exit 2) two of one stem.
    """
    found: dict[tuple[Path, str], Source] = {}
    for source in sources:
        other = found.setdefault((source.inside, source.stem), source)
        if other is not source:
            raise CaflowError(
                f"{other.name!r} and {source.name!r} have one stem",
                "give pictures of a folder names that differ in more than the suffix",
                EXIT_USAGE,
            )
    return found


def named(sources: Sequence[Source]) -> str:
    """The names, of many the first."""
    names = ", ".join(repr(source.name) for source in sources[:_NAMED])
    return names if len(sources) <= _NAMED else f"{names} and {len(sources) - _NAMED} more"


def read_mask(source: Source | None, frame: int | None = None) -> np.ndarray | None:
    """The grey of a mask, uint8 (H, W), turned as its EXIF orientation says; None of none."""
    if source is None:
        return None
    from ..tasks.base import grey

    return grey(source.read(frame).rgb)
