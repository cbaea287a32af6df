"""The one path from conditions to scored candidates: draw, compose, round, reduce, score.

Restoration, scoring and evaluation use it. So a candidate is the same wherever it is
drawn, and `score` reproduces the score of a written image.

Parts of an image are drawn and composed one after the other, so from the second part on, each
candidate has its own condition.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Generator, Tensor

from ..config import Extent, Tau, Temperature
from ..devices import check_bf16
from ..errors import ensure
from ..model import CAFlow
from ..sampling import SEEDS, Sampling
from ..tasks import ONE_PASS, Pixels
from .candidate import Candidate, Request
from .conditions import RESAMPLES, Conditions, Progress, Steps, to_batch
from .rank import order, rmse_between
from .result import Candidates
from .score import PartScore, Score, estimator_of
from .tiled import Tiled
from .tiles import LazyImage, plan_tiles
from .whole import Whole

_BATCH = 2**18  # pixels per batch, at the model's size
_LOWER = 0.7  # factor of tau if all candidates diverged
_HELD = 2**26  # pixels of all full-size images of a batch together


def requests_at_a_time(size: Extent, candidates: int, batch_size: int | None = None) -> int:
    """How many requests of that height and width, with M candidates each, fit into one batch."""
    if math.prod(size) > ONE_PASS:
        return 1
    return max(1, (batch_size or _BATCH // math.prod(size)) // candidates)


class Sampler:
    """Draws and scores candidates for requests; computes the conditions of first parts only once.

    `draw` draws candidates as `sampling` says, and `result` ranks those drawn so far. Candidate k
    does not depend on when it is drawn or on the other requests, up to rounding that differs with
    the batch size; with `batch_size` 1 it is the same bit for bit. Diverged samples are resampled;
    a candidate that diverged eleven times, or whose score is not finite, is dropped.

    Args:
        model: Any model.
        requests: Their conditions must have one size. One that is drawn in tiles comes alone.
        sampling: For every request. If tau or M is None, it is the model's, else the task's.
        progress: Called after each pass of the model.
        batch_size: Candidates at a time, over all requests; at least one per request. Default: as
            many as fit well into memory.

    Attributes:
        sampling: With all defaults filled in. A single candidate in tiles is neither scored nor
            ranked, unless a rule is given.
        conditions: The conditions of the first parts.
        at_a_time: How many candidates of each request make a batch.

    Raises:
        CaflowError: A setting does not fit the model, or the device has no fast bfloat16.
    """

    def __init__(
        self,
        model: CAFlow,
        requests: Sequence[Request],
        sampling: Sampling | None = None,
        *,
        progress: Progress | None = None,
        batch_size: int | None = None,
    ) -> None:
        self._model = model
        self._requests = requests
        self._size = requests[0].size
        self._steps = Steps(progress)
        self._parts = max(len(request.parts) for request in requests)
        windows = self._parts if requests[0].task.needs_mask else None
        sampling = (sampling or Sampling()).of(model.config, self._size, windows)
        self._bf16 = sampling.precision == "bf16"
        if self._bf16:
            check_bf16(model.device)
        if requests[0].is_large:
            self.conditions = self._conditions(requests[0].lazy_condition())
        else:
            images = [request.parts[0].condition(request.image) for request in requests]
            self.conditions = self._conditions(to_batch(images))
        alone = sampling.candidates == 1 and sampling.rank is None
        # In tiles, a score takes nearly as long as the image, and a single one ranks nothing.
        self._is_scored = not alone or self.conditions.passes == 1
        rule = sampling.rank or ("likelihood" if self._is_scored else "none")
        self.sampling = replace(sampling, rank=rule)
        # Each candidate of a batch holds its image, which may be far larger than its samples.
        largest = max(math.prod(request.image.shape[:2]) for request in requests)
        room = min(max(1, _HELD // largest), _BATCH // math.prod(self._size))
        self.at_a_time = max(1, (batch_size or room) // len(requests))
        self._candidates: list[list[Candidate]] = [[] for _ in requests]
        self._drawn = 0
        self._diverged_at: Temperature | None = None  # tau of the set of which nothing is left

    def _conditions(self, cond: Tensor | LazyImage) -> Conditions:
        """Conditions, uint8 (B, C, H, W), in one piece if they fit into memory, else in tiles."""
        tiles = plan_tiles(self._size, self._model.config.flow.multiple)
        if len(tiles) > 1:
            return Tiled(self._model, cond, tiles, self._bf16, self._steps)
        assert isinstance(cond, Tensor)
        return Whole(self._model, cond, self._bf16, self._steps)

    def draw(
        self,
        count: int | None = None,
        lower_tau: bool = True,
    ) -> Iterator[int]:
        """Draw and score the next `count` candidates in the order of k; by default M.

        Yields the number drawn so far after each batch, once every request has a candidate. If the
        iteration ends early, the candidates drawn so far are kept.

        If all candidates of a single request diverge, they are drawn again at 0.7 tau, by the same
        generators, and then one at tau 0, unless `lower_tau` is false; `sampling` and the result
        state the tau.

        Raises:
            CaflowError: The seeds run out, or all candidates of a request diverged.
        """
        count = self.sampling.candidates or 1 if count is None else count
        first_tau = self.sampling.temperature
        attempts = [(first_tau, count)]
        if lower_tau and len(self._requests) == 1 and any(first_tau.values):
            attempts += [(first_tau.times(_LOWER), count), (Temperature.of(0), 1)]
        for tau, m in attempts:
            if tau != first_tau:
                if self._candidates[0]:
                    break
                self.sampling = replace(self.sampling, tau=tau, candidates=m)
                self._diverged_at = first_tau
                self._drawn = 0
            ks = range(self._drawn, self._drawn + m)
            replace(self.sampling, candidates=ks.stop, keep=1).check()
            seeds = [self.sampling.seed] * len(self._requests)
            for batch in self.batches(tau, ks, seeds, 1 if self._is_scored else None):
                for candidate in batch:
                    self._candidates[candidate.row].append(candidate)
                self._drawn = min(ks.stop, self._drawn + self.at_a_time)
                if all(self._candidates):
                    yield self._drawn
        ensure(
            all(self._candidates),
            f"{RESAMPLES + 1} samples in a row diverged at tau {first_tau}",
            "an image more like the training data, or another --model",
        )

    def result(self, row: int = 0) -> Candidates:
        """Rank the candidates of a request that were drawn so far."""
        sampling = self.sampling
        candidates = self._candidates[row]
        apart = None
        if sampling.rank == "consensus":
            apart = rmse_between([candidate.image for candidate in candidates])
        scores = [candidate.rank_score or 0.0 for candidate in candidates]
        ranked = []
        for index, value in order(sampling.rank or "likelihood", scores, apart):
            ranked.append(candidates[index])
            ranked[-1].rank = len(ranked)
            ranked[-1].rank_value = value
        return Candidates(
            ranked,
            self._drawn - len(candidates),
            sampling,
            self._requests[row],
            self.conditions.statistics[row],
            estimator_of(self._model, 1),
            self._model.identity,
            self._model.calibration,
            self._diverged_at,
        )

    def batches(
        self, tau: Tau, ks: range, seeds: Sequence[int], noise_samples: int | None = 1
    ) -> Iterator[list[Candidate]]:
        """Draw, compose and score candidates of every request, in batches.

        Each batch has some candidates of every request, grouped by request in the order of k.
        Diverged candidates are left out.

        Args:
            tau: Temperature.
            ks: Which candidates, such as `range(M)`.
            seeds: One per request. Candidate k is drawn with seed + k, modulo 2^32.
            noise_samples: K of the scores; None: do not score.
        """
        passes = math.ceil(len(ks) / self.at_a_time)
        if self.conditions.passes > 1:
            passes = len(ks) * self.conditions.passes
        hinted = any(request.task.hinted_pixels for request in self._requests)
        scored = 2 if hinted else 1  # times
        self._steps.done = 0
        self._steps.total = passes * self._parts * (1 if noise_samples is None else 1 + scored)
        for first in range(0, len(ks), self.at_a_time):
            batch = [
                Candidate(request, row, k, (seed + k) % SEEDS)
                for row, (request, seed) in enumerate(zip(self._requests, seeds, strict=True))
                for k in ks[first : first + self.at_a_time]
            ]
            yield self._draw_batch(batch, tau, noise_samples)

    def _draw_batch(
        self, batch: list[Candidate], tau: Tau, noise_samples: int | None
    ) -> list[Candidate]:
        """Draw and score a batch part by part; returns the candidates that did not diverge."""
        generators = {one: Generator().manual_seed(one.seed) for one in batch}
        for number in range(self._parts):
            drawing = [one for one in batch if number < len(one.request.parts)]
            if not drawing:
                break
            conditions = self.conditions
            if number > 0:  # each candidate has its own condition
                images = [one.request.parts[number].condition(one.pixels) for one in drawing]
                conditions = self._conditions(to_batch(images))
            samples = conditions.draw(tau, [generators[one] for one in drawing])
            for one, sample in zip(drawing, samples, strict=True):
                one.take(sample.image)
                one.redraws += sample.redraws
                one.diverged = sample.redraws > RESAMPLES
            if noise_samples is not None:
                composed = [(one.request, number, one.pixels) for one in drawing]
                scores = self._log_prob(composed, noise_samples, conditions)
                for one, score in zip(drawing, scores, strict=True):
                    one.part_scores.append(score)
                    one.diverged |= not math.isfinite(score.value)
            batch = [one for one in batch if not one.diverged]
        for one in batch:
            one.score = one.request.score(one.part_scores, one.pixels)
        hinted = [one for one in batch if one.request.task.hinted_pixels]
        if hinted and noise_samples is not None:
            composed = [(one.request, 0, one.unhinted_pixels) for one in hinted]
            scores = self._log_prob(composed, noise_samples, self.conditions)
            for one, (request, _, image), score in zip(hinted, composed, scores, strict=True):
                one.unhinted = request.score([score], image)
        for one in batch:
            one.release()
        return batch

    def score(
        self,
        images: Sequence[Pixels],
        noise_samples: int = 1,
    ) -> list[Score]:
        """Score one composed image, uint8 (H, W, 3), per request, with K noise samples.

        Raises:
            CaflowError: An image does not fit its request, or a score is not finite.
        """
        places = [
            (row, number)
            for number in range(self._parts)
            for row, request in enumerate(self._requests)
            if number < len(request.parts)
        ]
        part_scores: list[list[PartScore]] = [[] for _ in self._requests]
        step = max(1, _BATCH // math.prod(self._size))
        for first in range(0, len(places), step):
            some = places[first : first + step]
            composed = [(self._requests[row], number, images[row]) for row, number in some]
            scores = self._log_prob(composed, noise_samples, self.conditions)
            for (row, _), score in zip(some, scores, strict=True):
                ensure(
                    math.isfinite(score.value),
                    "a log-likelihood is not finite: the image is too unlike the training data",
                    "try another image, or another --model",
                )
                part_scores[row].append(score)
        parts = zip(self._requests, part_scores, images, strict=True)
        return [request.score(scores, image) for request, scores, image in parts]

    def _log_prob(
        self,
        composed: Sequence[tuple[Request, int, Pixels]],
        noise_samples: int,
        known: Conditions,
    ) -> list[PartScore]:
        """Score parts of composed images, grouped by request, as the pairs to which they reduce.

        Args:
            composed: For each: the request, the index of the part, and the image in which this
                part and all previous ones are composed.
            noise_samples: K.
            known: Conditions to reuse if the pairs have the same ones.
        """
        if isinstance(known.cond, LazyImage):
            [(request, _, image)] = composed
            return known.log_prob(request.lazy_target(image), noise_samples)
        pairs = [request.parts[k].reduce(request.image, image) for request, k, image in composed]
        cond, targets = (to_batch(side) for side in zip(*pairs, strict=True))
        per_condition = len(cond) // len(known.cond)
        if not torch.equal(cond, known.cond.repeat_interleave(per_condition, 0)):
            known = self._conditions(cond)
        return known.log_prob(targets, noise_samples)
