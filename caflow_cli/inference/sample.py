"""The one path from conditions to scored candidates: draw, compose, round, reduce, score.

Restoration, scoring, evaluation, score maps and the sample grids of training all use it. So a
candidate is the same wherever it is drawn, and `score` reproduces the score of a written image.

An image has one part, or several if its hole takes several windows. Parts are drawn and composed
one after the other, so from the second part on, each candidate has its own condition.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Generator, Tensor

from ..config import Tau
from ..errors import ensure
from ..images import LARGE
from ..model import CAFlow
from ..sampling import SEEDS
from ..tasks import Part, Pixels, Place, SuperRes, Task
from .draw import RESAMPLES, Conditions, Progress, Steps, to_batch
from .score import Nats, Score, score_of
from .tiles import Unheld, check_size

_BATCH = 2**18  # pixels per batch, at the model's size
_HELD = 2**26  # pixels of all full-size images of a batch together


def requests_at_a_time(
    size: tuple[int, int], candidates: int, batch_size: int | None = None
) -> int:
    """How many requests of that height and width, with M candidates each, fit into one batch."""
    return max(1, (batch_size or _BATCH // math.prod(size)) // candidates)


@dataclass(frozen=True, eq=False)
class CustomPart:
    """A `Part` made of individual functions."""

    condition: Callable[[Pixels], Pixels]
    compose: Callable[[Pixels, Pixels], Pixels]
    reduce: Callable[[Pixels, Pixels], tuple[Pixels, Pixels]]
    place: Place | None = None


@dataclass(frozen=True, eq=False)
class Request:
    """An image to draw candidates for, part by part."""

    image: Pixels  # the first part's input; each later part gets what the previous one composed
    parts: Sequence[Part]

    @classmethod
    def of(cls, task: Task, image: Pixels, mask: Pixels | None = None) -> Request:
        """Make the request for a user's image, uint8 (H, W, 3), and its mask, uint8 (H, W).

        Raises:
            CaflowError: The mask is missing, unexpected or does not fit; the image is too large.
        """
        task.check_mask(mask is not None)
        large = isinstance(task, SuperRes) and not task.consistent
        check_size(task.model_size(image, mask), large)
        return cls(image, task.parts(image, mask))

    @classmethod
    def of_condition(cls, task: Task, cond: Pixels) -> Request:
        """Make the request for a condition at model scale, where the image is not available."""
        return cls(cond, [CustomPart(lambda y: y, task.keep_known, lambda *pair: pair)])


@dataclass(eq=False)
class Candidate:
    """One sample: drawn part by part, composed, scored, ranked."""

    request: Request
    row: int  # index of its request among those drawn together
    k: int
    seed: int  # replays it: `--seed SEED -m 1`
    redraws: int = 0  # how many samples diverged, over all parts
    diverged: bool = False  # to be dropped: too many samples diverged, or its score is not finite
    score: Score = field(init=False)
    rank: int = 0  # from 1
    rank_value: float | None = None  # v_k of the ranking rule (`order`)
    consistency_max: int | None = None  # largest difference of reduced image and input, in levels
    put_back: Callable[[Pixels], tuple[Pixels, Pixels | None]] | None = None  # adds input's alpha
    _samples: list[Pixels] = field(default_factory=list)  # uint8, of the model's size, one per part
    _image: Pixels | None = None

    @property
    def image(self) -> Pixels:
        """The restored image, uint8 (H, W, 3), or (H, W, 4) if `restore` was given alpha."""
        colours, alpha = self.pixels, None
        if self.put_back is not None:
            colours, alpha = self.put_back(colours)
        return colours if alpha is None else np.dstack([colours, alpha])

    @property
    def pixels(self) -> Pixels:
        """The scored image, uint8 (H, W, 3); a large one is composed on each access."""
        if self._image is not None:
            return self._image
        image = self.request.image.copy()  # inpainting composes in place
        for part, sample in zip(self.request.parts, self._samples, strict=False):
            image = part.compose(image, sample)
        return image

    def take(self, sample: Pixels) -> None:
        self._image = self.request.parts[len(self._samples)].compose(self.pixels, sample)
        self._samples.append(sample)

    def release(self) -> None:
        """Keep either the image or the samples it is composed of, whichever takes less memory."""
        if self.pixels.nbytes > sum(sample.nbytes for sample in self._samples):
            self._image = None
        else:
            self._samples = []


def _unheld(request: Request, target: Pixels | None = None) -> Unheld | None:
    """The condition of a large image, or its target if given; None if the image is not large."""
    task, image = request.parts[0], request.image
    if not isinstance(task, SuperRes) or math.prod(task.model_size(image)) <= LARGE:
        return None
    part = partial(task.part_of_condition, image)
    if target is not None:
        part = partial(task.part_of_target, image, target)
    return Unheld((1, 3, *task.model_size(image)), part)


class Sampler:
    """Draws and scores candidates for requests; computes the conditions of first parts only once.

    Args:
        model: Any model.
        requests: Their conditions must have one size.
        strict: Resample diverged samples, and drop a candidate that diverged eleven times or whose
            score is not finite. If false, every first sample is accepted.
        progress: Called after each pass of the model.
        bf16: Draw with networks in bfloat16. Conditions and scores stay float32.
        batch_size: Candidates at a time, over all requests; at least one per request. Default: as
            many as fit well into memory.

    Attributes:
        conditions: The conditions of the first parts.
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
        self._model, self._requests, self._bf16 = model, requests, bf16
        self._strict, self._progress = strict, progress
        large = _unheld(requests[0]) if len(requests) == 1 else None
        self.conditions = Conditions(
            model,
            large or to_batch([one.parts[0].condition(one.image) for one in requests]),
            bf16,
        )
        self._parts = max(len(request.parts) for request in requests)
        # Each candidate of a batch holds its image, which may be far larger than its samples.
        room = max(1, _HELD // max(math.prod(one.image.shape[:2]) for one in requests))
        most = batch_size or min(room, _BATCH // math.prod(self.conditions.size))
        self.at_a_time = max(1, most // len(requests))

    def batches(
        self, tau: Tau, ks: range, seeds: Sequence[int], noise_samples: int | None = 1
    ) -> Iterator[list[Candidate]]:
        """Draw, compose and score candidates of every request, in batches.

        Each batch has some candidates of every request, grouped by request in the order of k. If
        `strict`, diverged candidates are left out.

        Args:
            tau: Temperature.
            ks: Which candidates, such as `range(M)`.
            seeds: One per request. Candidate k is drawn with seed + k, modulo 2^32.
            noise_samples: K of the scores; None: do not score.
        """
        size, steps = self.conditions.size, Steps(self._progress)
        groups = [ks[first : first + self.at_a_time] for first in range(0, len(ks), self.at_a_time)]
        tiles = len(self.conditions.tiles)
        passes = len(ks) * len(self._requests) * tiles if tiles > 1 else len(groups)
        steps.total = passes * self._parts * (1 if noise_samples is None else 2)
        for group in groups:
            batch = [
                Candidate(self._requests[row], row, k, (seed + k) % SEEDS)
                for row, seed in enumerate(seeds)
                for k in group
            ]
            generators = {one: Generator().manual_seed(one.seed) for one in batch}
            nats: dict[Candidate, list[Nats]] = {one: [] for one in batch}
            for part in range(self._parts):
                some = [one for one in batch if part < len(one.request.parts)]
                if not some:
                    break
                conditions = self.conditions
                if part > 0:  # each candidate has its own condition
                    conds = [one.request.parts[part].condition(one.pixels) for one in some]
                    conditions = Conditions(self._model, to_batch(conds), self._bf16)
                drawn = conditions.draw(tau, [generators[one] for one in some], self._strict, steps)
                for one, (sample, redraws) in zip(some, drawn, strict=True):
                    one.take(sample)
                    one.redraws += redraws
                    one.diverged = redraws > RESAMPLES
                if noise_samples is not None:
                    composed = [(one.row, part, one.pixels) for one in some]
                    known, targets = self.reduce(composed, conditions)
                    found = known.log_prob(targets, noise_samples, steps)
                    for one, value in zip(some, found, strict=True):
                        nats[one].append(value)
                        one.diverged |= self._strict and not math.isfinite(value.value)
                batch = [one for one in batch if not one.diverged]
            for one in batch:
                if noise_samples is not None:
                    one.score = score_of(nats[one], one.request.parts, size, one.pixels.shape)
                one.release()
            yield batch

    def score(self, images: Sequence[Pixels], noise_samples: int = 1) -> list[Score]:
        """Score one composed image, uint8 (H, W, 3), per request, with K noise samples.

        Raises:
            CaflowError: An image does not fit its request; or, if `strict`, a score is not finite.
        """
        composed = [
            (row, part, images[row])
            for part in range(self._parts)
            for row, request in enumerate(self._requests)
            if part < len(request.parts)
        ]
        nats: list[list[Nats]] = [[] for _ in self._requests]
        size = self.conditions.size
        step = max(1, _BATCH // math.prod(size))
        for first in range(0, len(composed), step):
            some = composed[first : first + step]
            conditions, targets = self.reduce(some)
            found = conditions.log_prob(targets, noise_samples)
            for (row, _, _), one in zip(some, found, strict=True):
                ensure(
                    not self._strict or math.isfinite(one.value),
                    "a log-likelihood is not finite: the image is too unlike the training data",
                    "try another image, or another --model",
                )
                nats[row].append(one)
        return [
            score_of(own, request.parts, size, image.shape)
            for own, request, image in zip(nats, self._requests, images, strict=True)
        ]

    def reduce(
        self, composed: Sequence[tuple[int, int, Pixels]], known: Conditions | None = None
    ) -> tuple[Conditions, Tensor | Unheld]:
        """Reduce composed images, grouped by request, to the pairs that are scored.

        Args:
            composed: For each: the index of the request, the index of the part, and the image in
                which this part and all previous ones are composed.
            known: Conditions to reuse if the pairs have the same ones. Default: those of the first
                parts.

        Returns:
            The conditions, and the targets, uint8 (B, C, H, W).
        """
        known = known or self.conditions
        if isinstance(known.cond, Unheld):
            [(row, _, image)] = composed
            target = _unheld(self._requests[row], image)
            assert target is not None
            return known, target
        pairs = [
            self._requests[row].parts[part].reduce(self._requests[row].image, image)
            for row, part, image in composed
        ]
        cond, targets = (to_batch(side) for side in zip(*pairs, strict=True))
        each = len(cond) // len(known.cond)
        if torch.equal(cond, known.cond.repeat_interleave(each, 0)):
            return known, targets
        return Conditions(self._model, cond), targets
