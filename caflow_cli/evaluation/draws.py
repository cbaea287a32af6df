"""Candidates for several pictures at once, drawn and scored as `restore` does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..inference.candidates import Conditioned, Request
from ..inference.score import Score, task_of
from ..model import CAFlow
from ..sampling import SEEDS
from ..tasks import Picture
from ..temperature import Tau
from .problems import Problem

__all__ = ["SEED_STEP", "ConditionedProblems", "Drawn"]

SEED_STEP = 1_000_003  # candidate k of picture r draws from seed S + 1,000,003 r + k,


@dataclass(frozen=True, eq=False)
class Drawn:
    """A candidate that is composed, rounded to 8 bits and scored."""

    k: int
    seed: int
    image: Picture
    score: Score


class ConditionedProblems:
    """A model with the conditions of problems of one size; scores truths and draws at any tau."""

    def __init__(self, model: CAFlow, problems: Sequence[Problem]) -> None:
        self.problems = problems
        task = task_of(model)
        self._conditioned = Conditioned(
            model, [Request.of(task, p.input, p.mask) for p in problems]
        )

    def truth_scores(self, noise_samples: int) -> list[Score]:
        """Score the truth of each problem."""
        return self._conditioned.score([problem.truth for problem in self.problems], noise_samples)

    def draw(
        self,
        tau: Tau,
        candidates: int,
        seed: int,
        noise_samples: int,
        batch_size: int | None = None,
    ) -> list[list[Drawn]]:
        """Draw and score candidates 0 to M - 1 of each problem, in the order of k.

        Args:
            tau: Temperature.
            candidates: M.
            seed: S.
            noise_samples: K of the scores.
            batch_size: Candidates at a time, of all problems together; at least one for each
                problem.

        Raises:
            CaflowError: A draw or a score is not finite.
        """
        seeds = [(seed + SEED_STEP * problem.index) % SEEDS for problem in self.problems]
        result: list[list[Drawn]] = [[] for _ in self.problems]
        for draw, score in self._conditioned.candidates(
            tau, candidates, seeds, noise_samples, batch_size
        ):
            result[draw.request].append(Drawn(draw.k, draw.seed, draw.image, score))
        return result
