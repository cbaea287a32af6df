"""The one path from conditions to scored candidates: draw, compose, round, reduce, score.

Restoration, evaluation, attribution and the sample grids of training all use it. So a candidate is
the same wherever it is drawn, and `score` of the written picture repeats its score.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ..model import CAFlow
from ..sampling import SEEDS
from ..tasks import Picture, SuperRes, Task
from ..temperature import Tau
from .conditions import InTiles, OnePiece, read_conditions
from .consistent import back_project
from .domain import Statistics
from .refine import Refined
from .score import Score, score_targets, to_batch

__all__ = ["BATCH_PIXELS", "OWN_SEED", "Conditioned", "Draw", "Request"]

BATCH_PIXELS = 2**18  # that the model works on at a time, unless a batch size is given
# Of draws that are no candidates, far from candidates: they would be compared with themselves.
OWN_SEED = 2**31


@dataclass(frozen=True, eq=False)
class Request:
    """A condition to draw candidates for, with functions that turn draws into scored pictures."""

    cond: Picture  # the model's condition, uint8 (h, w, C)
    compose: Callable[[Picture], Picture]  # from a draw to the picture that is written, 8 bits
    reduce: Callable[[Picture], tuple[Picture, Picture]]  # from that to the pair that is scored

    @classmethod
    def of(
        cls,
        task: Task,
        image: Picture,
        mask: Picture | None = None,
        consistent: bool = False,
    ) -> Request:
        """Make the request for a user's picture.

        Args:
            task: The model's.
            image: uint8 (H, W, 3).
            mask: uint8 (H, W), where the task needs one.
            consistent: For superres: `compose` projects each draw to a picture that shrinks to
                `image`.
        """

        def compose(draw: Picture) -> Picture:
            composed = task.compose(image, draw, mask)
            if not consistent:
                return composed
            assert isinstance(task, SuperRes), "Sampling.of refuses others"
            return back_project(image, composed, task)

        def reduce(picture: Picture) -> tuple[Picture, Picture]:
            return task.reduce(image, picture, mask)

        return cls(task.condition(image, mask), compose, reduce)

    @classmethod
    def of_condition(cls, task: Task, cond: Picture) -> Request:
        """Make the request for a condition at model scale, whose picture is not known."""
        return cls(cond, partial(task.settle, cond), lambda picture: (cond, picture))


@dataclass(frozen=True, eq=False)
class Draw:
    """A sample of the model, and the picture composed from it."""

    request: int  # its index among the requests
    k: int
    seed: int  # replays it, as candidate 0
    draw: Picture  # uint8, of the model's size
    image: Picture
    plain: Picture  # `draw` before it was refined
    redraws: int = 0  # draws of this generator that ran away before this one


class Conditioned:
    """A model with the conditions of requests, which are computed once for all draws and scores.

    Args:
        model: Any model.
        requests: Their conditions must have one size.
        strict: Draw again what runs away, and refuse scores that are not finite.
    """

    def __init__(self, model: CAFlow, requests: Sequence[Request], strict: bool = True) -> None:
        self.requests = requests
        self._model, self._strict = model, strict
        self._cond = to_batch([request.cond for request in requests])
        self._conditions = read_conditions(model, self._cond)

    @property
    def statistics(self) -> Statistics:
        """`domain.statistics` of each condition: (requests, S)."""
        return self._conditions.statistics

    def draws(
        self,
        tau: Tau,
        candidates: int,
        seeds: Sequence[int],
        batch_size: int | None = None,
        refine: int = 0,
    ) -> Iterator[list[Draw]]:
        """Draw and compose candidates 0 to M - 1 of every request, in batches.

        Each batch holds some candidates of every request. Those of one request are neighbours, in
        the order of k.

        Args:
            tau: Temperature.
            candidates: M.
            seeds: One for each request. Candidate k draws from generator seed + k, modulo 2^32.
            batch_size: Candidates at a time, of all requests together; at least one for each.
                Default: as many as fit well into memory.
            refine: Gradient steps on each draw's latents (`inference.refine`).

        Raises:
            CaflowError: A candidate and its ten redraws run away, and `strict`; or the picture is
                too large to refine.
        """
        height, width = self._cond.shape[-2:]
        at_a_time = batch_size or BATCH_PIXELS // (height * width)
        step = max(1, at_a_time // len(self.requests))
        for first in range(0, candidates, step):
            count = min(step, candidates - first)
            found: list[Refined]
            if refine:
                found = self._conditions.draw_refined(tau, seeds, first, count, refine)
            else:
                drawn = self._conditions.draw(tau, seeds, first, count, self._strict)
                found = [Refined(one, one.picture) for one in drawn]
            batch = []
            for place, ((plain, redraws), draw) in enumerate(found):
                row, k = place // count, first + place % count
                image = self.requests[row].compose(draw)
                batch.append(Draw(row, k, (seeds[row] + k) % SEEDS, draw, image, plain, redraws))
            yield batch

    def reduce(self, images: Sequence[Picture]) -> tuple[OnePiece | InTiles, Tensor]:
        """Reduce composed pictures to the pairs that are scored.

        Returns:
            The conditions and the targets, uint8 (B, C, H, W). If all conditions are those of the
            draws, the conditions computed for these are returned.
        """
        each = len(images) // len(self.requests)
        pairs = [self.requests[place // each].reduce(image) for place, image in enumerate(images)]
        cond, targets = (to_batch(side) for side in zip(*pairs, strict=True))
        if torch.equal(cond, self._cond.repeat_interleave(each, 0)):
            return self._conditions, targets
        return read_conditions(self._model, cond), targets

    def score(self, images: Sequence[Picture], noise_samples: int = 1) -> list[Score]:
        """Score composed pictures in one batch.

        Args:
            images: uint8 (H, W, 3), equally many for each request, as neighbours, of any size that
                the request can reduce.
            noise_samples: K.

        Raises:
            CaflowError: A picture does not fit its request, or a score is not finite.
        """
        conditions, targets = self.reduce(images)
        shapes = [image.shape for image in images]
        return score_targets(conditions, targets, shapes, noise_samples, self._strict)

    def candidates(
        self,
        tau: Tau,
        candidates: int,
        seeds: Sequence[int],
        noise_samples: int = 1,
        batch_size: int | None = None,
        refine: int = 0,
    ) -> Iterator[tuple[Draw, Score]]:
        """Draw, compose and score candidates, in the order and batches of `draws`.

        A refined candidate that is less likely than it was, once it is composed and rounded, is
        taken as it was drawn.

        Args:
            tau: Temperature.
            candidates: M.
            seeds: As for `draws`.
            noise_samples: K.
            batch_size, refine: As for `draws`.

        Raises:
            CaflowError: A candidate and its ten redraws run away, or a score is not finite.
        """
        for batch in self.draws(tau, candidates, seeds, batch_size, refine):
            scores = self.score([draw.image for draw in batch], noise_samples)
            pairs = list(zip(batch, scores, strict=True))
            if refine:
                plain = [self._as_drawn(draw) for draw in batch]
                scores = self.score([draw.image for draw in plain], noise_samples)
                both = zip(pairs, zip(plain, scores, strict=True), strict=True)
                pairs = [max(one, key=lambda pair: pair[1].rank_score) for one in both]
            yield from pairs

    def _as_drawn(self, draw: Draw) -> Draw:
        """The draw as it was before it was refined."""
        image = self.requests[draw.request].compose(draw.plain)
        return replace(draw, draw=draw.plain, image=image)
