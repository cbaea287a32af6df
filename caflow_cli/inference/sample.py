"""The one path from conditions to scored candidates: draw, compose, round, reduce, score.

Restoration, evaluation, score maps and the sample grids of training all use it. So a candidate is
the same wherever it is drawn, and `score` of the written image repeats its score.

An image has one part or, if it has a hole that takes several windows, several. They are drawn and
composed one after the other, so the condition of every part but the first is another for each
candidate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..errors import CaflowError
from ..model import CAFlow
from ..sampling import SEEDS
from ..tasks import HoleWindow, Part, Pixels, Place, SuperRes, Task
from ..temperature import Tau
from .domain import Statistics
from .draw import RESAMPLES, Latents, OnePiece, Progress, Steps
from .score import BATCH_PIXELS, Nats, Score, nats_of, score_of, to_batch
from .tiles import InTiles, read_conditions

__all__ = ["Candidate", "Request", "Sampler", "Step", "back_project", "requests_at_a_time"]

# Of the images of a batch together, which are composed and then scored.
HELD_PIXELS = 2**26
_PROJECTIONS = 100  # samples of 100 faces take 5 to 11 on average and 63 at most, by temperature

_Read = tuple[OnePiece | InTiles, Tensor]  # conditions, and what they were read from, (B, C, H, W)


def requests_at_a_time(
    size: tuple[int, int], candidates: int, batch_size: int | None = None
) -> int:
    """How many requests of that height and width, with M candidates each, make one batch."""
    return max(1, (batch_size or BATCH_PIXELS // (size[0] * size[1])) // candidates)


@dataclass(frozen=True, eq=False)
class Step:
    """A `Part` whose functions are given one by one."""

    condition: Callable[[Pixels], Pixels]
    compose: Callable[[Pixels, Pixels], Pixels]
    reduce: Callable[[Pixels, Pixels], tuple[Pixels, Pixels]]
    place: Place | None = None


@dataclass(frozen=True, eq=False)
class Request:
    """An image to draw candidates for, part by part."""

    image: Pixels  # which the first part completes, and the next one what that composes
    parts: Sequence[Part]

    @classmethod
    def of(
        cls, task: Task, image: Pixels, mask: Pixels | None = None, consistent: bool = False
    ) -> Request:
        """Make the request for a user's image.

        Args:
            task: The model's.
            image: uint8 (H, W, 3).
            mask: uint8 (H, W), where the task needs one.
            consistent: For superres: `compose` projects each sample to an image that shrinks to
                `image`.
        """
        if not consistent:
            return cls(image, task.parts(image, mask))
        assert isinstance(task, SuperRes), "Sampling.of refuses others"

        def compose(image: Pixels, draw: Pixels) -> Pixels:
            return back_project(image, task.compose(image, draw), task)

        return cls(image, [Step(task.condition, compose, task.reduce)])

    @classmethod
    def of_condition(cls, task: Task, cond: Pixels) -> Request:
        """Make the request for a condition at model scale, whose image is not known."""
        return cls(cond, [Step(lambda y: y, task.keep_known, lambda y, target: (y, target))])

    def composed(self, number: int, image: Pixels, draw: Pixels) -> Pixels:
        """`image` with part `number` done, too. An image that this method composed is reused."""
        part = self.parts[number]
        if number == 0 or not isinstance(part, HoleWindow):
            return part.compose(self.image, draw)
        part.fill(image, draw)
        return image


@dataclass(eq=False)
class Candidate:
    """One sample, from the draw to the JSON line: drawn part by part, composed, scored, ranked."""

    request: Request
    row: int  # the index of its request among those that are drawn together
    k: int
    seed: int  # replays it: `--seed SEED -m 1`
    redraws: int = 0  # samples of its generator that diverged, of all parts
    score: Score = field(init=False)
    rank: int = 0  # from 1
    rank_value: float | None = None  # what the rule of rank says of it (`inference.rank`)
    consistency_max: int | None = None  # levels between the reduced image and the input
    _draws: list[Pixels] = field(default_factory=list)  # uint8, of the model's size, one a part
    _nats: list[Nats] = field(default_factory=list)
    _image: Pixels | None = None

    @property
    def image(self) -> Pixels:
        """The composed image, uint8 (H, W, 3); after `release`, composed at each access."""
        if self._image is not None:
            return self._image
        image = self.request.image
        for number, draw in enumerate(self._draws):
            image = self.request.composed(number, image, draw)
        return image

    def release(self) -> None:
        """Hold the image or the samples it is composed of, whichever takes less memory."""
        if self._image is not None and self._image.nbytes > sum(d.nbytes for d in self._draws):
            self._image = None
        elif self._image is not None:
            self._draws = []

    def take(self, draw: Pixels) -> None:
        """Compose the next part."""
        before = self.request.image if self._image is None else self._image
        self._image = self.request.composed(len(self._draws), before, draw)
        self._draws.append(draw)

    def take_score(self, nats: Nats, size: tuple[int, int]) -> None:
        """Score the next part; the last one completes `score`."""
        self._nats.append(nats)
        if len(self._nats) == len(self.request.parts):
            self.score = score_of(self._nats, self.request.parts, size, self.image)


class Sampler:
    """A model with requests; the conditions of their first parts are computed once.

    Args:
        model: Any model.
        requests: Their conditions must have one size.
        strict: Resample what diverged, and drop a candidate that diverged eleven times or whose
            score is not finite; else take every first sample.
        progress: Is told after each pass of the model.
        bf16: Draw with networks in bfloat16. Conditions and scores stay float32.
        batch_size: Candidates at a time, of all requests together; at least one for each. Default:
            as many as fit well into memory.

    Attributes:
        at_a_time: How many candidates of each request make a batch.
    """

    def __init__(
        self,
        model: CAFlow,
        requests: Sequence[Request],
        strict: bool = True,
        progress: Progress | None = None,
        bf16: bool = False,
        batch_size: int | None = None,
    ) -> None:
        self.requests, self._bf16 = requests, bf16
        self._model, self._strict, self._progress = model, strict, progress
        cond = to_batch([one.parts[0].condition(one.image) for one in requests])
        self._first: _Read = read_conditions(model, cond, bf16), cond
        self._most = max(len(request.parts) for request in requests)
        height, width = self._first[0].size
        # Each candidate of a batch has its image, which may be far larger than what is drawn.
        room = max(1, HELD_PIXELS // max(math.prod(one.image.shape[:2]) for one in requests))
        most = batch_size or min(room, BATCH_PIXELS // (height * width))
        self.at_a_time = max(1, most // len(requests))

    @property
    def statistics(self) -> Statistics:
        """`domain.statistics` of the condition of each first part: (requests, S)."""
        return self._first[0].statistics

    def batches(
        self,
        tau: Tau,
        candidates: int,
        seeds: Sequence[int],
        noise_samples: int | None = 1,
    ) -> Iterator[list[Candidate]]:
        """Draw, compose and score candidates 0 to M - 1 of every request, in batches.

        Each batch holds some candidates of every request. Those of one request are neighbours, in
        the order of k. Where `strict`, what diverged is missing.

        Args:
            tau: Temperature.
            candidates: M.
            seeds: One for each request. Candidate k draws from generator seed + k, modulo 2^32.
            noise_samples: K of the scores; None: do not score.
        """
        size, step = self._first[0].size, self.at_a_time
        passes, steps = 1 if noise_samples is None else 2, Steps(self._progress)
        for first in range(0, candidates, step):
            count = min(step, candidates - first) * len(self.requests)
            tiles = self._first[0].tiles
            steps.total += passes * self._most * (count * tiles if tiles > 1 else 1)
        for first in range(0, candidates, step):
            last = min(first + step, candidates)
            batch = [
                Candidate(self.requests[row], row, k, (seed + k) % SEEDS)
                for row, seed in enumerate(seeds)
                for k in range(first, last)
            ]
            generators = {id(one): Latents(self._model, one.seed, size) for one in batch}
            for part in range(self._most):
                steps.candidates, steps.part = (first + 1, last, candidates), (part + 1, self._most)
                some = [one for one in batch if part < len(one.request.parts)]
                if not some:
                    break
                known = self._first if part == 0 else self._read(part, some)
                latents = [generators[id(one)] for one in some]
                drawn = known[0].draw(tau, latents, self._strict, steps)
                lost = {
                    id(one)
                    for one, (_, redraws) in zip(some, drawn, strict=True)
                    if redraws > RESAMPLES
                }
                for one, (image, redraws) in zip(some, drawn, strict=True):
                    one.take(image)
                    one.redraws += redraws
                if noise_samples is not None:
                    pairs = [(one.row, one.image) for one in some]
                    conditions, targets = self._reduce(part, pairs, known)
                    nats = nats_of(conditions, targets, noise_samples, steps)
                    for one, own in zip(some, nats, strict=True):
                        one.take_score(own, size)
                        if self._strict and not math.isfinite(own.value):
                            lost.add(id(one))
                batch = [one for one in batch if id(one) not in lost]
            yield batch

    def score(self, images: Sequence[Pixels], noise_samples: int = 1) -> list[Score]:
        """Score composed images, part by part, each of these in one batch.

        Args:
            images: uint8 (H, W, 3), equally many for each request, as neighbours, of any size that
                the request can reduce.
            noise_samples: K.

        Raises:
            CaflowError: An image does not fit its request, or a score is not finite.
        """
        each = len(images) // len(self.requests)
        parts = [self.requests[place // each].parts for place in range(len(images))]
        nats: list[list[Nats]] = [[] for _ in images]
        for part in range(self._most):
            places = [place for place, own in enumerate(parts) if part < len(own)]
            conditions, targets = self._reduce(part, [(p // each, images[p]) for p in places])
            scored = nats_of(conditions, targets, noise_samples)
            for place, one in zip(places, scored, strict=True):
                if self._strict and not math.isfinite(one.value):
                    raise CaflowError(
                        "a log-likelihood is not finite: the image is too far from what the model "
                        "knows",
                        "try another image, or another --model",
                    )
                nats[place].append(one)
        size = self._first[0].size
        found = zip(nats, parts, images, strict=True)
        return [score_of(own, of_image, size, image) for own, of_image, image in found]

    def reduce(self, images: Sequence[Pixels], part: int = 0) -> tuple[OnePiece | InTiles, Tensor]:
        """Reduce composed images to the pairs that are scored.

        Args:
            images: As for `score`.
            part: Which of the parts; every request must have it.

        Returns:
            The conditions and the targets, uint8 (B, C, H, W). If all conditions are those of the
            samples, the conditions computed for these are returned.
        """
        each = len(images) // len(self.requests)
        return self._reduce(part, [(place // each, image) for place, image in enumerate(images)])

    def _read(self, part: int, some: Sequence[Candidate]) -> _Read:
        """The conditions of a later part, which are different for each candidate."""
        cond = to_batch([one.request.parts[part].condition(one.image) for one in some])
        return read_conditions(self._model, cond, self._bf16), cond

    def _reduce(
        self, part: int, images: Sequence[tuple[int, Pixels]], known: _Read | None = None
    ) -> tuple[OnePiece | InTiles, Tensor]:
        """Reduce images of requests; conditions that are known already are not read again."""
        pairs = [
            self.requests[row].parts[part].reduce(self.requests[row].image, image)
            for row, image in images
        ]
        cond, targets = (to_batch(side) for side in zip(*pairs, strict=True))
        if known is None and part == 0:
            known = self._first
        if known is not None:
            conditions, read = known
            each = len(cond) // len(read)
            if all(torch.equal(one, read[place // each]) for place, one in enumerate(cond)):
                return conditions, targets
        return read_conditions(self._model, cond), targets


def back_project(image: Pixels, sample: Pixels, task: SuperRes) -> Pixels:
    """Find an image near `sample` whose reduction is within one level of `image` everywhere.

        x <- clip(x + up(image - down(round(x))), 0, 255)

    `up` and `down` are Pillow BICUBIC. For some images there is no such neighbour, because values
    beyond 0 or 255 are clipped. Then the best of 100 iterations is returned.

    Args:
        image: uint8 (h, w, 3).
        sample: uint8 (factor h, factor w, 3).
        task: Defines `down`.
    """
    x = sample.astype(np.float32)
    best, least = sample, 256
    for _ in range(_PROJECTIONS):
        rounded = np.rint(x).astype(np.uint8)
        residual = image.astype(np.float32) - task.degrade(rounded)
        worst = int(np.abs(residual).max())
        if worst < least:
            best, least = rounded, worst
        if worst <= 1:  # what 8 bits an image can promise
            break
        channels = (Image.fromarray(channel) for channel in np.moveaxis(residual, -1, 0).copy())
        size = x.shape[1], x.shape[0]
        up = [np.asarray(one.resize(size, Image.Resampling.BICUBIC)) for one in channels]
        x = (x + np.stack(up, -1)).clip(0, 255)
    return best
