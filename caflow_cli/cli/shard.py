"""The share of the inputs that one of several processes takes."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..errors import EXIT_USAGE, CaflowError

if TYPE_CHECKING:
    from .console import Console

__all__ = ["Shard", "find_shard"]

_T = TypeVar("_T")


@dataclass(frozen=True)
class Shard:
    """Every `count`-th input, from number `number` on, which counts from 1."""

    number: int = 1
    count: int = 1

    def of(self, inputs: Sequence[_T]) -> list[_T]:
        """The inputs of this share."""
        return list(inputs[self.number - 1 :: self.count])

    def refuse(self, what: str, wanted: bool) -> None:
        """Refuse what needs all inputs in one process: CaflowError (exit 2)."""
        if wanted and self.count > 1:
            raise CaflowError(
                f"{what} needs all inputs in one process, and this is shard "
                f"{self.number}/{self.count}",
                f"--shard 1/1, or leave {what} out",
                EXIT_USAGE,
            )


def find_shard(typed: str | None, console: Console) -> Shard:
    """The share that `--shard K/N` names, else the one of a launcher (`torchrun`).

    Raises:
        CaflowError: (exit 2) `typed` is no share.
    """
    if typed is None:
        rank, world = (os.environ.get(name, "") for name in ("RANK", "WORLD_SIZE"))
        if not (rank.isdecimal() and world.isdecimal()) or not int(rank) < int(world) > 1:
            return Shard()
        shard = Shard(int(rank) + 1, int(world))
        console.note(f"--shard {shard.number}/{shard.count}, by RANK and WORLD_SIZE")
        return shard
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", typed)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise CaflowError(
            f"--shard is {typed!r}", "--shard 1/4 to --shard 4/4, for four processes", EXIT_USAGE
        )
    return Shard(int(match[1]), int(match[2]))
