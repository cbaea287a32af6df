"""What a run measures: temperatures, candidates, pictures kept, metrics. No torch in here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import EXIT_USAGE, CaflowError
from .catalogue import METRICS

__all__ = ["Cell", "Plan", "values"]

_SEEDS = 2**32


@dataclass(frozen=True)
class Cell:
    """One setting: the N likeliest of M candidates at temperature tau."""

    tau: float
    m: int
    n: int


@dataclass(frozen=True)
class Plan:
    """A run. Several temperatures, M or N are a sweep: every combination with N <= M.

    Candidates are drawn once a temperature, for the largest M; a smaller M is the first of them.
    """

    taus: tuple[float, ...]
    candidates: tuple[int, ...]
    keep: tuple[int, ...]
    metrics: tuple[str, ...]
    seed: int = 0
    noise_samples: int = 1

    def check(self) -> None:
        """CaflowError (exit 2) where it cannot be run."""

        def require(condition: bool, message: str, hint: str) -> None:
            if not condition:
                raise CaflowError(message, hint, EXIT_USAGE)

        for tau in self.taus:
            require(0 <= tau < math.inf, f"tau is {tau}", "--tau 0.5, or any from 0 up")
        for m in self.candidates:
            require(1 <= m <= 10_000, f"cannot draw {m} candidates", "-m 10")
        for n in self.keep:
            require(n >= 1, f"{n} pictures to keep are too few", "-n 1")
        least, most = min(self.keep), max(self.candidates)
        require(least <= most, f"cannot keep {least} of {most} candidates", f"-m {least}")
        require(0 <= self.seed < _SEEDS, f"seed {self.seed} is out of range", "--seed 0")
        require(
            self.noise_samples >= 1,
            f"{self.noise_samples} noise samples are too few",
            "--noise-samples 1",
        )
        if "diversity" in self.metrics:
            require(most >= 2, "the diversity of one candidate is none", "-m 10")

    @property
    def cells(self) -> list[Cell]:
        return [
            Cell(tau, m, n)
            for tau in self.taus
            for m in self.candidates
            for n in self.keep
            if n <= m
        ]

    @property
    def draws(self) -> list[float]:
        """Temperatures to draw at: none for bits/dim alone, 1 too for likelihoods."""
        if set(self.metrics) <= {"bpd"}:
            return []
        extra = (1.0,) if "likelihood" in self.metrics and 1.0 not in self.taus else ()
        return [*self.taus, *extra]

    @property
    def most(self) -> int:
        """The largest M."""
        return max(self.candidates)

    def wants(self, needs: str) -> list[str]:
        """Its metrics of that kind."""
        return [name for name in self.metrics if METRICS[name].needs == needs]

    def as_json(self) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def values(given: Sequence[float] | float | None, default: float) -> tuple[float, ...]:
    """One value or several, in their order, without repeats."""
    if given is None:
        return (default,)
    if isinstance(given, (int, float)):
        return (given,)
    return tuple(dict.fromkeys(given))
