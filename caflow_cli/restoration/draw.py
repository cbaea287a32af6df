"""Draw candidates: in batches, part by part; each part is composed, rounded and scored.

Restoration, evaluation and calibration use this one path, so a candidate is the same wherever it is
drawn, and `score` reproduces the score of a written image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from torch import Generator

from ..config import Extent
from ..images import Pixels
from ..sampling import SEEDS
from ..tasks import ONE_PASS
from .candidates import Candidate, Candidates
from .conditions import Conditions, Divergence, PartScore, Sample, Steps, to_batch
from .request import Request, conditions_of
from .score import score_parts, total

_Place: TypeAlias = tuple[Request, int]  # a part, by its number

_BATCH = 2**18  # pixels per batch, at the model's size
_HELD = 2**26  # pixels of all full-size images of a batch together


def requests_at_a_time(size: Extent, candidates: int, batch_size: int | None = None) -> int:
    """How many requests of that height and width, with M candidates each, fit into one batch."""
    if math.prod(size) > ONE_PASS:
        return 1
    return max(1, (batch_size or _BATCH // math.prod(size)) // candidates)


def _candidates_at_a_time(requests: Sequence[Request], batch_size: int | None) -> int:
    """How many candidates of each request make a batch."""
    # Each candidate of a batch holds its image, which may be far larger than its samples.
    largest = max(math.prod(request.image.shape[:2]) for request in requests)
    room = min(max(1, _HELD // largest), _BATCH // math.prod(requests[0].size))
    return max(1, (batch_size or room) // len(requests))


def draw(
    found: Sequence[Candidates],
    conditions: Conditions,
    count: int | None = None,
    batch_size: int | None = None,
) -> Iterator[list[Candidates]]:
    """Draw more candidates of every request, in the order of k; yields all after each batch.

    Candidate k does not depend on when it is drawn or on the other requests, up to rounding that
    differs with the batch size; with `batch_size` 1 it is the same bit for bit. Diverged samples
    are resampled. What diverged eleven times, or has a score that is not finite, is the guide's
    prediction.

    Args:
        found: The candidates so far, perhaps none, of requests of one model, size and tau.
        conditions: Those of the first parts, from `encode`.
        count: How many to draw. Default: M.
        batch_size: Candidates at a time, over all requests; at least one per request. Default: as
            many as fit well into memory.

    Raises:
        CaflowError: A candidate diverged so, and the model has no guide.
    """
    requests = [each.request for each in found]
    at_a_time = _candidates_at_a_time(requests, batch_size)
    start = len(found[0].drawn)
    ks = range(start, start + (count or requests[0].sampling.candidates or 1))
    places = _batches_of_parts(
        requests, batch_size or max(1, _BATCH // math.prod(requests[0].size))
    )
    steps = conditions.steps
    steps.done = 0
    steps.total = math.ceil(len(ks) / at_a_time) * conditions.passes * len(places)
    if requests[0].is_scored:
        steps.total *= 2
    for first in range(0, len(ks), at_a_time):
        batch = ks[first : first + at_a_time]
        drafts = [_Draft.of(request, k) for request in requests for k in batch]
        drawn = _draw_batch(drafts, places, conditions)
        found = [
            replace(
                each,
                drawn=[*each.drawn, *(new for new in drawn if new.request is each.request)],
                statistics=statistics,
            )
            for each, statistics in zip(found, conditions.statistics, strict=True)
        ]
        yield found


def predicted(request: Request) -> Pixels:
    """What the guide alone predicts for an image, part by part as candidates are drawn.

    Raises:
        CaflowError: The model has no guide.
    """
    image = request.image.copy()
    for part in request.parts:
        conditions = conditions_of(request, to_batch([part.condition(image)]), Steps())
        sample = conditions.predicted(0, request.sampling.temperature)
        image = request.compose(part, image, sample.image)
    return image


def _batches_of_parts(requests: Sequence[Request], most: int) -> list[list[_Place]]:
    """The parts of requests in the order in which they are drawn: those of one wave together, but
    the first parts, whose conditions are known, alone."""
    batches = [[(request, 0) for request in requests]]
    waves: dict[int, list[_Place]] = {}
    for request in requests:
        for number, part in enumerate(request.parts[1:], 1):
            waves.setdefault(part.wave, []).append((request, number))
    for _, places in sorted(waves.items()):
        batches += [places[first : first + most] for first in range(0, len(places), most)]
    return batches


@dataclass(eq=False)
class _Draft:
    """A candidate in progress."""

    request: Request
    k: int
    seed: int
    generators: Sequence[Generator]  # of the parts
    again: Sequence[Generator]  # of their resamples
    image: Pixels  # with all parts so far
    samples: dict[int, Sample] = field(default_factory=dict)  # by part, of the model's size
    scores: dict[int, PartScore] = field(default_factory=dict)  # by part

    @classmethod
    def of(cls, request: Request, k: int) -> _Draft:
        seed = (request.sampling.seed + k) % SEEDS
        image = request.image.copy()  # inpainting composes in place
        generator = Generator().manual_seed(seed)
        if len(request.parts) == 1:
            return cls(request, k, seed, [generator], [generator], image)
        generators, again = _of_parts(request, seed, generator)
        return cls(request, k, seed, generators, again, image)

    def add(self, number: int, sample: Sample, image: Pixels) -> None:
        """Put a sample of a part into the image as it was without it."""
        self.image = self.request.compose(self.request.parts[number], image, sample.image)
        self.samples[number] = sample

    def finished(self, passes: int) -> Candidate:
        request = self.request
        scores = [self.scores[number] for number in sorted(self.scores)]
        score = total(request, scores, self.image)
        drawn = [self.samples[number] for number in sorted(self.samples)]
        size = self.image.shape[:2]
        predicted = [
            request.window(part, window, size)
            for part, sample in zip(request.parts, drawn, strict=True)
            for window in sample.predicted
        ]
        divergence = Divergence(
            passes * len(drawn), sum(sample.redraws for sample in drawn), len(predicted)
        )
        # What takes less memory: the image, or the samples it is composed of.
        samples = [sample.image for sample in drawn]
        smaller = self.image.nbytes > sum(sample.nbytes for sample in samples)
        return Candidate(
            request,
            self.k,
            self.seed,
            divergence,
            score.missing if predicted else score,
            samples if smaller else self.image,
            predicted,
        )


def _draw_batch(
    drafts: list[_Draft], batches: list[list[_Place]], conditions: Conditions
) -> list[Candidate]:
    """Draw and score candidates, grouped by request."""
    for places in batches:
        drawing = [
            (draft, number)
            for request, number in places
            for draft in drafts
            if draft.request is request
        ]
        current = conditions
        if places is not batches[0]:  # each candidate has its own condition
            images = [draft.request.parts[k].condition(draft.image) for draft, k in drawing]
            current = conditions_of(drawing[0][0].request, to_batch(images), conditions.steps)
        _draw_parts(drawing, current)
    return [draft.finished(conditions.passes) for draft in drafts]


def _draw_parts(drawing: Sequence[tuple[_Draft, int]], conditions: Conditions) -> None:
    """Draw one part of each draft, compose it, and, if candidates are scored, score the result."""
    first = drawing[0][0].request
    tau = first.sampling.temperature
    before = [draft.image for draft, _ in drawing]
    generators = [draft.generators[number] for draft, number in drawing]
    again = [draft.again[number] for draft, number in drawing]
    samples = conditions.draw(tau, generators, again)
    for (draft, number), sample in zip(drawing, samples, strict=True):
        draft.add(number, sample, draft.image)
    if not first.is_scored:
        return
    composed = [(draft.request, number, draft.image) for draft, number in drawing]
    scores = score_parts(composed, conditions)
    for index, ((draft, number), score) in enumerate(zip(drawing, scores, strict=True)):
        draft.scores[number] = score
        if not math.isfinite(score.value) and not draft.samples[number].predicted:
            row = index * len(conditions.cond) // len(drawing)
            draft.add(number, conditions.predicted(row, tau), before[index])


def _of_parts(
    request: Request, seed: int, generator: Generator
) -> tuple[list[Generator], list[Generator]]:
    """The generators of parts, and those of their resamples.

    Parts take the latents of one generator in their order, in whichever they are drawn.
    """
    generators = []
    again = []
    for number in range(len(request.parts)):
        generators.append(generator.clone_state())
        request.model.latent_noise(generator, request.size)
        (own,) = np.random.SeedSequence([seed, number]).generate_state(1).tolist()
        again.append(Generator().manual_seed(own))
    return generators, again
