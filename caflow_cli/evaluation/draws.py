"""Candidates of several pictures at once: what `restore` draws and scores, batched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import CaflowError
from ..flows import to_uint8
from ..inference.score import Score, score_pairs, task_of, to_batch
from ..model import CAFlow
from ..tasks import Picture
from .problems import Problem

__all__ = ["SEED_STEP", "Drawn", "Encoded", "pictures_at_a_time"]

SEED_STEP = 1_000_003  # candidate k of picture r draws from seed S + 1,000,003 r + k,
_SEEDS = 2**32  # modulo this: a CPU generator uses 32 bits of its seed
_BATCH_PIXELS = 2**18  # of all pictures that the model works on at a time


@dataclass(frozen=True, eq=False)
class Drawn:
    """A candidate: composed, rounded to 8 bits, scored."""

    k: int
    seed: int
    image: Picture
    score: Score


class Encoded:
    """Problems of one size and their conditions, encoded once for all temperatures."""

    def __init__(self, model: CAFlow, problems: Sequence[Problem]) -> None:
        self.problems = problems
        self._model, self._task = model, task_of(model)
        self._conditions = [self._task.condition(p.input, p.mask) for p in problems]
        self._encoding = model.encode_condition(to_batch(self._conditions))

    def truth_scores(self, noise_samples: int) -> list[Score]:
        """The score of each truth."""
        return self._score([(p, p.truth) for p in self.problems], noise_samples)

    def draw(
        self,
        tau: float,
        candidates: int,
        seed: int,
        noise_samples: int,
        batch_size: int | None = None,
    ) -> list[list[Drawn]]:
        """Candidates 0 to M - 1 of each problem, in the order of k.

        Args:
            batch_size: Candidates at a time, of all problems together; at least one of each.

        Raises:
            CaflowError: A draw or a score is not finite.
        """
        seeds = [(seed + SEED_STEP * p.index) % _SEEDS for p in self.problems]
        result: list[list[Drawn]] = [[] for _ in self.problems]
        height, width = self._conditions[0].shape[:2]
        at_a_time = batch_size or _BATCH_PIXELS // (height * width)
        step = max(1, at_a_time // len(self.problems))
        for first in range(0, candidates, step):
            count = min(step, candidates - first)
            points = self._model.sample(self._encoding, tau, count, seeds, first)
            if not bool(points.isfinite().all()):
                raise CaflowError(
                    f"the model has no finite draw at tau {tau:g}", "--tau 1, or lower"
                )
            draws = to_uint8(points).permute(0, 1, 3, 4, 2).contiguous().cpu().numpy()
            composed = [
                (p, self._task.compose(p.input, draw, p.mask))
                for p, of_picture in zip(self.problems, draws, strict=True)
                for draw in of_picture
            ]
            scores = self._score(composed, noise_samples)
            for row, (_, image) in enumerate(composed):
                place, k = row // count, first + row % count
                result[place].append(Drawn(k, (seeds[place] + k) % _SEEDS, image, scores[row]))
        return result

    def _score(self, targets: Sequence[tuple[Problem, Picture]], noise_samples: int) -> list[Score]:
        pairs = [self._task.reduce(p.input, image, p.mask) for p, image in targets]
        each = len(targets) // len(self.problems)
        shared = all(
            np.array_equal(condition, self._conditions[row // each])
            for row, (condition, _) in enumerate(pairs)
        )
        # Where the reduced conditions are those that were sampled from, they are encoded already.
        encodings = [self._encoding] if shared else None
        shapes = [image.shape for _, image in targets]
        return score_pairs(self._model, pairs, shapes, noise_samples, encodings)


def pictures_at_a_time(model: CAFlow, candidates: int, batch_size: int | None) -> int:
    """How many problems fit into a batch of the model, with M candidates each."""
    size = model.config.task.size
    images = batch_size or max(1, _BATCH_PIXELS // size**2)
    return max(1, images // candidates)
