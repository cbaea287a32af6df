"""How far the drawing and scoring of candidates is, as those who wait are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

__all__ = ["Done", "Progress", "Steps"]


@dataclass(frozen=True)
class Done:
    """The part that is done of the candidates of a picture, or of several that are drawn together.

    A step is one pass of the model: it draws, or scores, a part of a batch or one of its tiles. All
    steps of a picture take about equally long.

    Examples:
        >>> str(Done(12, 140, "drawn", candidates=(1, 1, 1), tile=(12, 70)))
        'tile 12 of 70 drawn'
        >>> str(Done(3, 40, "scored", candidates=(5, 8, 40), part=(2, 5)))
        'candidates 5-8 of 40, window 2 of 5 scored'
    """

    steps: int
    total: int
    what: str = "drawn"  # the last step: "drawn" or "scored"
    candidates: tuple[int, int, int] = (1, 1, 1)  # first and last of the batch, from 1, and M
    part: tuple[int, int] = (1, 1)  # the window onto a hole, from 1, and how many there are
    tile: tuple[int, int] = (1, 1)  # from 1, and how many there are

    def __str__(self) -> str:
        first, last, m = self.candidates
        batch = f"candidate {first}" if first == last else f"candidates {first}-{last}"
        places = [f"{batch} of {m}"] if m > 1 else []
        for name, (number, count) in (("window", self.part), ("tile", self.tile)):
            if count > 1:
                places.append(f"{name} {number} of {count}")
        return f"{', '.join(places)} {self.what}".strip()


Progress = Callable[[Done], None]  # is told behind each step


@dataclass
class Steps:
    """Counts steps, and tells of each.

    Args:
        report: Is told; None: nobody is.
        total: How many steps there will be, as far as is known.
    """

    report: Progress | None = None
    total: int = 0
    _at: Done = field(default_factory=lambda: Done(0, 0))

    def enter(
        self,
        candidates: tuple[int, int, int] | None = None,
        part: tuple[int, int] | None = None,
    ) -> None:
        """Say which candidates, or which part of them, the next steps are for."""
        at = self._at
        self._at = replace(at, candidates=candidates or at.candidates, part=part or at.part)

    def more(self, count: int) -> None:
        """Say that there are more steps than was known, because some are done again."""
        self.total += count

    def step(self, what: str, tile: tuple[int, int] = (1, 1)) -> None:
        """Count a step that is done: "drawn" or "scored"."""
        steps = self._at.steps + 1
        self._at = replace(self._at, steps=steps, total=self.total, what=what, tile=tile)
        if self.report is not None:
            self.report(self._at)
