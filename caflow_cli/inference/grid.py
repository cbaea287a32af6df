"""A sheet of all candidates of several pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..tasks import Picture
from ..temperature import Temperature
from .figures import beside, captioned, stacked, thumbnail
from .score import Score

__all__ = ["grid_row"]

_CELL = 192  # pixels of a thumbnail's longer side
_LINE = 10  # candidates side by side; more go on in a new line


class _Ranked(Protocol):
    @property
    def rank(self) -> int: ...
    @property
    def k(self) -> int: ...
    @property
    def score(self) -> Score: ...
    @property
    def image(self) -> Picture: ...


class _Result(Protocol):
    @property
    def tau(self) -> Temperature: ...
    @property
    def seen(self) -> Picture: ...
    @property
    def ranked(self) -> Sequence[_Ranked]: ...


def grid_row(name: str, result: _Result) -> Picture:
    """Draw a picture's row of the sheet: its input, and its candidates by rank with their scores.

    The input has the colours that the model reads.

    Args:
        name: Name of the picture, for the caption.
        result: Result of `restore`, `Candidates`.
    """
    height, width = result.seen.shape[:2]
    condition = _cell(result.seen, f"{name}\n{width} x {height}\ntau {result.tau}")
    cells = [_cell(candidate.image, _caption(candidate)) for candidate in result.ranked]
    lines = [beside(cells[first : first + _LINE]) for first in range(0, len(cells), _LINE)]
    return beside([condition, stacked(lines)])


def _cell(picture: Picture, text: str) -> Picture:
    return captioned(thumbnail(picture, _CELL), text, _CELL)


def _caption(candidate: _Ranked) -> str:
    return "\n".join([f"#{candidate.rank}   k {candidate.k}", *candidate.score.summary.split(", ")])
