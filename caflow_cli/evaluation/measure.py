"""Measure images: sample candidates, score them, and compare them with the truth."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from ..data.examples import Examples
from ..errors import CaflowError, ensure
from ..inference import (
    Candidate,
    Request,
    Sampler,
    order,
    requests_at_a_time,
    rmse_between,
    to_batch,
)
from ..model import CAFlow
from ..sampling import SEEDS, fitting
from ..tasks import Pixels, Task
from .examples import EXAMPLE_METRICS, Example, make_example, restore_simply
from .metrics.pairs import diversity, load_lpips, measure_pairs, rank_histogram
from .rows import Draw, Draws, Row, Values
from .settings import Cell, Settings
from .space import space_metrics

SEED_STEP = 1_000_003  # between the seeds of successive images
_OF_TRUTH = ("log_likelihood", "bits_per_dim", "standard_error")


@dataclass(frozen=True, eq=False)
class Measured:
    """An example, its row of measurements, and the measured images."""

    example: Example
    row: Row
    baselines: dict[str, Pixels] = field(default_factory=dict)
    images: list[dict[int, Pixels]] = field(default_factory=list)  # by k, for each of `row.draws`

    def kept(self, cell: Cell) -> list[Pixels]:
        """The N best of the first M candidates, best first."""
        draws = self.row.draws_of(cell)
        images = self.images[self.row.draws.index(draws)]
        best = draws.ranked(cell.m, cell.rank)[: cell.n]
        return [images[draw.k] for draw in best]


@dataclass(frozen=True, eq=False)
class Measurer:
    """Samples, scores and measures images, several at a time."""

    model: CAFlow
    task: Task
    run: Settings
    images: Examples
    masks: Examples | None  # of damage, if the protocol needs them

    def measure(
        self, indices: Sequence[int], side: int | None
    ) -> Iterator[tuple[int, Measured | CaflowError]]:
        """Measure images, or say why one failed. With a common `side` they are drawn in batches."""
        step = 1
        if side is not None:
            most = max(self.run.candidates)
            step = requests_at_a_time((side, side), most, self.run.batch_size)
        for first in range(0, len(indices), step):
            batch = indices[first : first + step]
            try:
                yield from zip(batch, self._measure(batch), strict=True)
            except CaflowError as error:
                if len(batch) == 1:
                    yield batch[0], error
                else:  # which of them is it?
                    for index in batch:
                        yield from self.measure([index], None)

    @torch.no_grad()
    def _measure(self, indices: Sequence[int]) -> list[Measured]:
        run = self.run
        examples = [
            make_example(self.task, self.images, index, self.masks, run.seed, run.inputs)
            for index in indices
        ]
        begun = time.perf_counter()
        requests = [Request.of(self.task, example.input, example.mask) for example in examples]
        sampler = Sampler(self.model, requests, batch_size=run.batch_size)
        encoding = time.perf_counter() - begun
        found = [self._with_baselines(example) for example in examples]
        if "bpd" in run.metrics or "likelihood" in run.metrics:
            self._score_truths(sampler, found)
        seeds = [(run.seed + SEED_STEP * index) % SEEDS for index in indices]
        for tau, most in run.draws:
            m = most
            if run.fit:
                m = fitting(requests[0].size, most, max(run.keep))
            begun = time.perf_counter()
            drawn: list[list[Candidate]] = [[] for _ in examples]
            for batch in sampler.batches(tau, range(m), seeds, run.noise_samples):
                for candidate in batch:
                    drawn[candidate.row].append(candidate)
            seconds = encoding + time.perf_counter() - begun
            for measured, candidates in zip(found, drawn, strict=True):
                draws = Draws(tau, most)
                if "seconds" in run.metrics:
                    draws.seconds = _per_image(measured.example, seconds)
                self._add_draws(measured, candidates, draws, m)
        return found

    def _with_baselines(self, example: Example) -> Measured:
        found = Measured(example, Row(example.index, example.name))
        for name in self.run.protocol.baselines or (self.task.baseline,):
            begun = time.perf_counter()
            image = restore_simply(self.task, name, example)
            seconds = time.perf_counter() - begun
            if image is None:
                continue
            found.baselines[name] = image
            [values] = self._values(example, [image])
            values |= self._space(example, [image])
            if "seconds" in self.run.metrics:
                values["seconds"] = _per_image(example, seconds)
            found.row.baselines[name] = values
        return found

    def _score_truths(self, sampler: Sampler, found: Sequence[Measured]) -> None:
        truths = [measured.example.truth for measured in found]
        scores = sampler.score(truths, self.run.noise_samples)
        for measured, score in zip(found, scores, strict=True):
            ensure(
                score.log_likelihood is not None,
                "large images are scored in tiles, which have no joint log-likelihood",
                "use a --model for smaller images, or leave bpd and likelihood out",
            )
            for name in _OF_TRUTH:
                value = getattr(score, name)
                if value is not None:
                    measured.row.truth[name] = value

    def _add_draws(
        self, measured: Measured, candidates: Sequence[Candidate], draws: Draws, m: int
    ) -> None:
        """Add what was drawn for `range(m)`: its scores, metrics and order.

        Candidates whose samples diverged are missing.
        """
        run = self.run
        images = {candidate.k: candidate.image for candidate in candidates}
        draws.diverged = [k for k in range(m) if k not in images]
        for candidate in candidates:
            score = candidate.score
            draw = Draw(candidate.k, candidate.seed, score.log_likelihood, score.rank_score or 0.0)
            draws.candidates.append(draw)
        measured.row.draws.append(draws)
        measured.images.append(images)
        cells = []
        for cell in run.cells:
            if cell.tau == draws.tau and cell.m <= draws.most:
                cells.append(cell)
        for first in sorted({cell.m for cell in cells}):
            self._add_figures(measured.example, draws, images, first)
        kept = draws.candidates
        if run.whole:
            best = set()
            for cell in cells:
                best |= {draw.k for draw in draws.ranked(cell.m, cell.rank)[: cell.n]}
            kept = [draw for draw in kept if draw.k in best]
        values = self._values(measured.example, [images[draw.k] for draw in kept])
        for draw, of_draw in zip(kept, values, strict=True):
            draw.values = of_draw

    def _add_figures(
        self, example: Example, draws: Draws, images: dict[int, Pixels], m: int
    ) -> None:
        """Add what depends on all of the first M candidates together."""
        ks = [k for k in images if k < m]
        first = [images[k] for k in ks]
        scores = [draw.rank_score for draw in draws.candidates[: len(ks)]]
        if "consensus" in self.run.rank:
            ranked = order("consensus", scores, rmse_between(first))
            best_first = [ks[place] for place, _ in ranked]
            draws.orders.setdefault("consensus", {})[m] = best_first
        if "diversity" in self.run.metrics and len(ks) > 1:
            draws.diversity[m] = diversity(to_batch(first))
        space = self._space(example, first)
        if space:
            draws.space[m] = space
        if "calibration" in self.run.metrics and len(ks) == m > 1:
            truth = to_batch([example.truth])[0]
            hole = None if example.hole is None else torch.from_numpy(example.hole)
            draws.ranks[m] = rank_histogram(to_batch(first), truth, hole).tolist()

    def _space(self, example: Example, samples: Sequence[Pixels]) -> Values:
        names = self.run.of_samples
        if not names or not samples:
            return {}
        lpips = load_lpips(self.run.weights, self.model.device)
        values = space_metrics(self.task, example.truth, samples, lpips)
        return {name: values[name] for name in names}

    def _values(self, example: Example, images: list[Pixels]) -> list[Values]:
        """The metrics of images against the truth; None stands for infinity."""
        if not images:
            return []
        metrics = self.run.metrics
        truths = to_batch([example.truth] * len(images))
        pairs = measure_pairs(
            metrics, to_batch(images), truths, self.run.weights, self.model.device
        )
        found: list[Values] = []
        for image, pair in zip(images, pairs, strict=True):
            values: Values = {**pair}
            for name, metric in EXAMPLE_METRICS.items():
                of_image = metric(self.task, example, image) if name in metrics else None
                if of_image is not None:
                    values[name] = of_image
            for name, value in values.items():
                if value == math.inf:
                    values[name] = None
            found.append(values)
        return found


def _per_image(example: Example, seconds: float) -> list[float]:
    """The pair of the metric `seconds`: seconds, and megapixels."""
    height, width = example.truth.shape[:2]
    return [seconds, height * width / 1e6]
