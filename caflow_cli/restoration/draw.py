"""Draw candidates: in batches, part by part; each part is composed, rounded and scored.

Restoration, evaluation and calibration use this one path, so a candidate is the same wherever it is
drawn, and `score` reproduces the score of a written image.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from torch import Generator

from ..config import Extent, Temperature
from ..errors import CaflowError
from ..images import Pixels
from ..sampling import SEEDS
from ..tasks import ONE_PASS
from .candidates import Candidate, Candidates
from .conditions import RESAMPLES, Conditions, PartScore, to_batch
from .request import Request, conditions_of
from .score import score_parts, total

_BATCH = 2**18  # pixels per batch, at the model's size
_HELD = 2**26  # pixels of all full-size images of a batch together
_LOWER = 0.7  # factor of tau if all candidates diverged


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


def answer(
    requests: Sequence[Request],
    conditions: Conditions,
    *,
    lower_tau: bool = True,
    batch_size: int | None = None,
) -> Iterator[list[Candidates]]:
    """Draw M candidates of every request; yields those so far after each batch.

    If all candidates of a single request diverge, they are drawn again at 0.7 tau, by the same
    generators, and then one at tau 0, unless `lower_tau` is false; the result states the tau.

    Args:
        requests: Of one model, size, tau and M.
        conditions: Theirs, from `encode`.
        lower_tau: Whether a single request is drawn again.
        batch_size: As for `draw`.

    Raises:
        CaflowError: All candidates of a request diverged.
    """
    answered = False
    for found in draw([Candidates(request) for request in requests], conditions, None, batch_size):
        if all(each.drawn for each in found):
            answered = True
            yield found
    if not answered:
        first = requests[0]
        tau = first.sampling.temperature
        if not (lower_tau and len(requests) == 1 and any(tau.values)):
            raise _all_diverged(tau)
        yield from _lowered(first, conditions, batch_size)


def _lowered(
    request: Request, conditions: Conditions, batch_size: int | None
) -> Iterator[list[Candidates]]:
    """Answer a request of which all candidates diverged, at a lower tau."""
    asked = request.sampling
    tau = asked.temperature
    lower = replace(asked, tau=tau.times(_LOWER))
    least = replace(asked, tau=Temperature.of(0), candidates=1)
    for settings in (lower, least):
        answered = False
        unanswered = Candidates(replace(request, sampling=settings), diverged_at=tau)
        for found in draw([unanswered], conditions, None, batch_size):
            if found[0].drawn:
                answered = True
                yield found
        if answered:
            return
    raise _all_diverged(tau)


def _all_diverged(tau: Temperature) -> CaflowError:
    return CaflowError(
        f"{RESAMPLES + 1} samples in a row diverged at tau {tau}",
        "an image more like the training data, or another --model",
    )


def draw(
    found: Sequence[Candidates],
    conditions: Conditions,
    count: int | None = None,
    batch_size: int | None = None,
) -> Iterator[list[Candidates]]:
    """Draw more candidates of every request, in the order of k; yields all after each batch.

    Candidate k does not depend on when it is drawn or on the other requests, up to rounding that
    differs with the batch size; with `batch_size` 1 it is the same bit for bit. Diverged samples
    are resampled; a candidate that diverged eleven times, or whose score is not finite, is left
    out.

    Args:
        found: The candidates so far, perhaps none, of requests of one model, size and tau.
        conditions: Those of the first parts, from `encode`.
        count: How many to draw. Default: M.
        batch_size: Candidates at a time, over all requests; at least one per request. Default: as
            many as fit well into memory.
    """
    requests = [each.request for each in found]
    at_a_time = _candidates_at_a_time(requests, batch_size)
    start = found[0].count
    ks = range(start, start + (count or requests[0].sampling.candidates or 1))
    passes = math.ceil(len(ks) / at_a_time)
    if conditions.passes > 1:
        passes = len(ks) * conditions.passes
    steps = conditions.steps
    steps.done = 0
    steps.total = passes * max(len(request.parts) for request in requests)
    if requests[0].noise_samples is not None:
        steps.total *= 2
    for first in range(0, len(ks), at_a_time):
        batch = ks[first : first + at_a_time]
        drafts = [_Draft.of(request, k) for request in requests for k in batch]
        drawn = _draw_batch(drafts, conditions)
        found = [
            replace(
                each,
                drawn=[*each.drawn, *(new for new in drawn if new.request is each.request)],
                count=batch.stop,
                statistics=statistics,
            )
            for each, statistics in zip(found, conditions.statistics, strict=True)
        ]
        yield found


@dataclass(eq=False)
class _Draft:
    """A candidate in progress."""

    request: Request
    k: int
    seed: int
    generator: Generator
    image: Pixels  # with all parts so far
    samples: list[Pixels] = field(default_factory=list)  # of the parts, of the model's size
    scores: list[PartScore] = field(default_factory=list)
    redraws: int = 0
    diverged: bool = False  # too many samples diverged, or its score is not finite

    @classmethod
    def of(cls, request: Request, k: int) -> _Draft:
        seed = (request.sampling.seed + k) % SEEDS
        image = request.image.copy()  # inpainting composes in place
        return cls(request, k, seed, Generator().manual_seed(seed), image)

    def finished(self) -> Candidate:
        score = total(self.request, self.scores, self.image)
        # What takes less memory: the image, or the samples it is composed of.
        size = sum(sample.nbytes for sample in self.samples)
        kept = self.samples if self.image.nbytes > size else self.image
        return Candidate(self.request, self.k, self.seed, self.redraws, score, kept)


def _draw_batch(drafts: list[_Draft], conditions: Conditions) -> list[Candidate]:
    """Draw and score candidates, grouped by request; returns those that did not diverge."""
    request = drafts[0].request
    tau = request.sampling.temperature
    number = 0
    while drawing := [draft for draft in drafts if number < len(draft.request.parts)]:
        current = conditions
        if number > 0:  # each candidate has its own condition
            images = [draft.request.parts[number].condition(draft.image) for draft in drawing]
            current = conditions_of(request, to_batch(images), conditions.steps)
        samples = current.draw(tau, [draft.generator for draft in drawing])
        for draft, sample in zip(drawing, samples, strict=True):
            draft.image = draft.request.parts[number].compose(draft.image, sample.image)
            draft.samples.append(sample.image)
            draft.redraws += sample.redraws
            draft.diverged = sample.redraws > RESAMPLES
        if request.noise_samples is not None:
            composed = [(draft.request, number, draft.image) for draft in drawing]
            scores = score_parts(composed, request.noise_samples, current)
            for draft, score in zip(drawing, scores, strict=True):
                draft.scores.append(score)
                draft.diverged |= not math.isfinite(score.value)
        drafts = [draft for draft in drafts if not draft.diverged]
        number += 1
    return [draft.finished() for draft in drafts]
