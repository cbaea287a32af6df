"""The one path from conditions to scored candidates: draw, compose, round, reduce, score.

Restoration, evaluation, attribution and the sample grids of training all use it. So a candidate is
the same wherever it is drawn, and `score` of the written picture repeats its score.

A picture has one part or, if it has a hole that takes several windows, several. They are drawn and
composed one after the other, so the condition of every part but the first is another for each
candidate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..model import CAFlow
from ..sampling import SEEDS
from ..tasks import HoleWindow, Part, Picture, Place, SuperRes, Task
from ..temperature import Tau
from .conditions import InTiles, OnePiece, read_conditions
from .consistent import back_project
from .domain import Statistics
from .latents import Latents
from .progress import Progress, Steps
from .redraw import Sampled
from .score import BATCH_PIXELS, Nats, Score, nats_of, score_of, to_batch

__all__ = [
    "BATCH_PIXELS",
    "OWN_SEED",
    "Conditioned",
    "Draw",
    "Request",
    "Step",
    "requests_at_a_time",
]

# Of the pictures of a batch together, which are composed and then scored.
_HELD_PIXELS = 2**26
# Of the samples that a score map compares with: far from the seeds of candidates.
OWN_SEED = 2**31


def requests_at_a_time(
    size: tuple[int, int], candidates: int, batch_size: int | None = None
) -> int:
    """How many requests of that height and width, with M candidates each, make one batch."""
    height, width = size
    at_a_time = batch_size or BATCH_PIXELS // (height * width)
    return max(1, at_a_time // candidates)


@dataclass(frozen=True, eq=False)
class Step:
    """A `Part` whose functions are given one by one."""

    condition: Callable[[Picture], Picture]
    compose: Callable[[Picture, Picture], Picture]
    reduce: Callable[[Picture, Picture], tuple[Picture, Picture]]
    place: Place | None = None


@dataclass(frozen=True, eq=False)
class Request:
    """A picture to draw candidates for, part by part."""

    image: Picture  # which the first part completes, and the next one what that composes
    parts: Sequence[Part]

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
        if not consistent:
            return cls(image, task.parts(image, mask))
        assert isinstance(task, SuperRes), "Sampling.of refuses others"

        def compose(image: Picture, draw: Picture) -> Picture:
            return back_project(image, task.compose(image, draw), task)

        return cls(image, [Step(task.condition, compose, task.reduce)])

    @classmethod
    def of_condition(cls, task: Task, cond: Picture) -> Request:
        """Make the request for a condition at model scale, whose picture is not known."""
        return cls(cond, [Step(_same, task.keep_known, _pair)])

    def compose(self, draws: Sequence[Picture]) -> Picture:
        """The picture of draws, one a part."""
        image = self.image
        for number, draw in enumerate(draws):
            image = self.composed(number, image, draw)
        return image

    def composed(self, number: int, image: Picture, draw: Picture) -> Picture:
        """The picture with part `number` done, too, or done anew.

        A picture that this method has composed is reused: the next one is not a copy.
        """
        part = self.parts[number]
        if number == 0 or not isinstance(part, HoleWindow):
            return part.compose(self.image, draw)
        part.fill(image, draw)
        return image


def _same(cond: Picture) -> Picture:
    return cond


def _pair(cond: Picture, target: Picture) -> tuple[Picture, Picture]:
    return cond, target


@dataclass(frozen=True, eq=False)
class Draw:
    """A sample of the model, and the picture composed from it."""

    request: int  # its index among the requests
    k: int
    seed: int  # replays it, as candidate 0
    draws: tuple[Picture, ...]  # uint8, of the model's size, one a part
    image: Picture
    redraws: int = 0  # draws of this generator that ran away, of all parts


@dataclass(eq=False)
class _Candidate:
    """A candidate, some parts of which are done."""

    row: int  # its request
    k: int
    latents: Latents
    image: Picture
    draws: list[Picture] = field(default_factory=list)
    redraws: int = 0
    nats: list[Nats] = field(default_factory=list)

    def take(self, request: Request, draw: Picture) -> None:
        """Compose the next part."""
        self.image = request.composed(len(self.draws), self.image, draw)
        self.draws.append(draw)


class Conditioned:
    """A model with requests; the conditions of their first parts are computed once for all draws.

    Args:
        model: Any model.
        requests: Their conditions must have one size.
        strict: Draw again what runs away, and refuse scores that are not finite.
        progress: Is told behind each pass of the model (`inference.progress`).
        bf16: Draw with nets in bfloat16. Conditions and scores stay float32.
    """

    def __init__(
        self,
        model: CAFlow,
        requests: Sequence[Request],
        strict: bool = True,
        progress: Progress | None = None,
        bf16: bool = False,
    ) -> None:
        self.requests, self._bf16 = requests, bf16
        self._model, self._strict, self._progress = model, strict, progress
        self._cond = to_batch([one.parts[0].condition(one.image) for one in requests])
        self._conditions = read_conditions(model, self._cond, bf16)
        self._most = max(len(request.parts) for request in requests)

    @property
    def statistics(self) -> Statistics:
        """`domain.statistics` of the condition of each first part: (requests, S)."""
        return self._conditions.statistics

    def draws(
        self,
        tau: Tau,
        candidates: int,
        seeds: Sequence[int],
        batch_size: int | None = None,
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

        Raises:
            CaflowError: A candidate and its ten redraws run away, and `strict`.
        """
        for batch in self._walk(tau, candidates, seeds, batch_size, None):
            yield [draw for draw, _ in batch]

    def candidates(
        self,
        tau: Tau,
        candidates: int,
        seeds: Sequence[int],
        noise_samples: int = 1,
        batch_size: int | None = None,
    ) -> Iterator[tuple[Draw, Score]]:
        """Draw, compose and score candidates, in the order and batches of `draws`.

        Args:
            tau: Temperature.
            candidates: M.
            seeds: As for `draws`.
            noise_samples: K.
            batch_size: As for `draws`.

        Raises:
            CaflowError: A candidate and its ten redraws run away, or a score is not finite.
        """
        for batch in self._walk(tau, candidates, seeds, batch_size, noise_samples):
            for draw, nats in batch:
                yield draw, self._score(draw.request, nats, draw.image)

    def score(self, images: Sequence[Picture], noise_samples: int = 1) -> list[Score]:
        """Score composed pictures, part by part, each of these in one batch.

        Args:
            images: uint8 (H, W, 3), equally many for each request, as neighbours, of any size that
                the request can reduce.
            noise_samples: K.

        Raises:
            CaflowError: A picture does not fit its request, or a score is not finite.
        """
        each = len(images) // len(self.requests)
        nats: list[list[Nats]] = [[] for _ in images]
        for part in range(self._most):
            places = [p for p in range(len(images)) if part < self._count(p // each)]
            pairs = [(place // each, images[place]) for place in places]
            conditions, targets = self._reduce(part, pairs)
            found = nats_of(conditions, targets, noise_samples, self._strict)
            for place, one in zip(places, found, strict=True):
                nats[place].append(one)
        return [
            self._score(p // each, *pair) for p, pair in enumerate(zip(nats, images, strict=True))
        ]

    def reduce(self, images: Sequence[Picture], part: int = 0) -> tuple[OnePiece | InTiles, Tensor]:
        """Reduce composed pictures to the pairs that are scored.

        Args:
            images: As for `score`.
            part: Which of the parts; every request must have it.

        Returns:
            The conditions and the targets, uint8 (B, C, H, W). If all conditions are those of the
            draws, the conditions computed for these are returned.
        """
        each = len(images) // len(self.requests)
        return self._reduce(part, [(place // each, image) for place, image in enumerate(images)])

    def _walk(
        self,
        tau: Tau,
        candidates: int,
        seeds: Sequence[int],
        batch_size: int | None,
        noise_samples: int | None,
    ) -> Iterator[list[tuple[Draw, list[Nats]]]]:
        """Draw candidates in batches, part by part, and score each part if K is given."""
        height, width = size = self._conditions.size
        # Each candidate of a batch has its picture, which may be far larger than what is drawn.
        room = max(1, _HELD_PIXELS // max(math.prod(one.image.shape[:2]) for one in self.requests))
        at_a_time = batch_size or min(room, BATCH_PIXELS // (height * width))
        step = max(1, at_a_time // len(self.requests))
        steps = Steps(self._progress)
        for first in range(0, candidates, step):
            count = min(step, candidates - first) * len(self.requests)
            passes = 1 if noise_samples is None else 2
            steps.more(passes * self._most * self._conditions.steps(count))
        for first in range(0, candidates, step):
            last = min(first + step, candidates)
            batch = [
                _Candidate(row, k, Latents(self._model, seed + k, size), self.requests[row].image)
                for row, seed in enumerate(seeds)
                for k in range(first, last)
            ]
            for part in range(self._most):
                steps.enter((first + 1, last, candidates), (part + 1, self._most))
                some = [one for one in batch if part < self._count(one.row)]
                known = self._conditions_of(part, some)
                latents = [one.latents for one in some]
                found: list[Sampled] = known[0].draw(tau, latents, self._strict, steps)
                for one, drawn in zip(some, found, strict=True):
                    one.take(self.requests[one.row], drawn.picture)
                    one.redraws += drawn.redraws
                if noise_samples is not None:
                    pairs = [(one.row, one.image) for one in some]
                    conditions, targets = self._reduce(part, pairs, known)
                    nats = nats_of(conditions, targets, noise_samples, self._strict, steps)
                    for one, own in zip(some, nats, strict=True):
                        one.nats.append(own)
            yield [(self._draw(one, seeds), one.nats) for one in batch]

    def _conditions_of(
        self, part: int, some: Sequence[_Candidate]
    ) -> tuple[OnePiece | InTiles, Tensor]:
        """The conditions of a part, and what they were read from, (B, C, H, W)."""
        if part == 0:
            return self._conditions, self._cond
        cond = to_batch([self.requests[one.row].parts[part].condition(one.image) for one in some])
        return read_conditions(self._model, cond, self._bf16), cond

    def _reduce(
        self,
        part: int,
        images: Sequence[tuple[int, Picture]],
        known: tuple[OnePiece | InTiles, Tensor] | None = None,
    ) -> tuple[OnePiece | InTiles, Tensor]:
        """Reduce pictures of requests; conditions that are known already are not read again."""
        pairs = [
            self.requests[row].parts[part].reduce(self.requests[row].image, image)
            for row, image in images
        ]
        cond, targets = (to_batch(side) for side in zip(*pairs, strict=True))
        if known is None and part == 0:
            known = self._conditions, self._cond
        if known is not None:
            conditions, read = known
            each = len(cond) // len(read)
            if all(torch.equal(one, read[place // each]) for place, one in enumerate(cond)):
                return conditions, targets
        return read_conditions(self._model, cond), targets

    def _draw(self, one: _Candidate, seeds: Sequence[int]) -> Draw:
        seed = (seeds[one.row] + one.k) % SEEDS
        return Draw(one.row, one.k, seed, tuple(one.draws), one.image, one.redraws)

    def _score(self, row: int, nats: Sequence[Nats], image: Picture) -> Score:
        return score_of(nats, self.requests[row].parts, self._conditions.size, image)

    def _count(self, row: int) -> int:
        return len(self.requests[row].parts)
