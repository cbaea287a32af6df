"""The processes among which the pictures of an evaluation are shared out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

__all__ = ["Alone", "Workers"]


class Workers(Protocol):
    """Processes that do the same command. Number 0 has all results; the others end in `each`."""

    @property
    def alone(self) -> bool:
        """Whether there is but one."""

    @property
    def rank(self) -> int:
        """The number of this one."""

    def each(self, count: int, work: Callable[[int], Any]) -> Iterator[Any]:
        """Results of `work` for 0 to count - 1, in order; JSON where there are several."""

    def tell(self, value: Any) -> Any:
        """The value that number 0 has for `value`, JSON."""


class Alone:
    """One process."""

    alone, rank = True, 0

    def each(self, count: int, work: Callable[[int], Any]) -> Iterator[Any]:
        return map(work, range(count))

    def tell(self, value: Any) -> Any:
        return value
