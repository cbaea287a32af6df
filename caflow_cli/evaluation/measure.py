"""Measure images: sample candidates, score them, and compare them with the truth."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from ..errors import CaflowError, ensure
from ..inference import (
    Candidate,
    Request,
    Sampler,
    order,
    requests_at_a_time,
    rmse_between,
    task_of,
    to_batch,
)
from ..model import CAFlow
from ..sampling import SEEDS, Sampling, fitting
from ..tasks import Pixels
from .examples import OF_EXAMPLES, Example, restore_simply
from .metrics.pairs import LpipsDistance, PairMetrics, diversity, rank_histogram
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
        best = draws.ranked(cell)[: cell.n]
        return [images[draw.k] for draw in best]


@dataclass(frozen=True, eq=False)
class Measurer:
    """Samples, scores and measures images, several at a time."""

    model: CAFlow
    run: Settings
    pairs: PairMetrics
    lpips: LpipsDistance | None  # for metrics of all M samples, if there are any
    example: Callable[[int], Example]  # derives the example of an image from its index

    def measure(
        self, indices: Sequence[int], side: int | None
    ) -> Iterator[tuple[int, Measured | CaflowError]]:
        """Measure images, or say why one failed. With a common `side` they are drawn in batches."""
        step = 1
        if side is not None:
            most = max(self.run.candidates)
            step = requests_at_a_time((side, side), most, self.run.batch_size)
        for first in range(0, len(indices), step):
            yield from self._attempt(indices[first : first + step])

    def _attempt(self, indices: Sequence[int]) -> Iterator[tuple[int, Measured | CaflowError]]:
        """Measure images as a batch; if one of them fails, measure them one by one."""
        try:
            measured = self._measure([self.example(index) for index in indices])
        except CaflowError as error:
            if len(indices) == 1:
                yield indices[0], error
            else:
                for index in indices:
                    yield from self._attempt([index])
        else:
            yield from zip(indices, measured, strict=True)

    @torch.no_grad()
    def _measure(self, examples: Sequence[Example]) -> list[Measured]:
        run = self.run
        task = task_of(self.model, Sampling(consistent=run.consistent))
        begun = time.perf_counter()
        requests = [Request.of(task, example.input, example.mask) for example in examples]
        sampler = Sampler(self.model, requests, batch_size=run.batch_size)
        encoding = time.perf_counter() - begun
        found = [self._with_baselines(example) for example in examples]
        if "bpd" in run.metrics or "likelihood" in run.metrics:
            self._score_truths(sampler, found)
        seeds = [(run.seed + SEED_STEP * example.index) % SEEDS for example in examples]
        size = task.model_size(examples[0].input, examples[0].mask)
        for tau, most in run.draws:
            m = most
            if run.fit:
                m = fitting(size, most, max(run.keep))
            begun = time.perf_counter()
            drawn: list[list[Candidate]] = [[] for _ in examples]
            for batch in sampler.batches(tau, range(m), seeds, run.noise_samples):
                for candidate in batch:
                    drawn[candidate.row].append(candidate)
            ensure(
                all(drawn),
                f"all samples diverged at tau {tau}, eleven times in a row",
                "a lower --tau, or images more like the training data",
            )
            seconds = encoding + time.perf_counter() - begun
            for measured, candidates in zip(found, drawn, strict=True):
                self._add_draws(measured, candidates, Draws(tau, most), m)
                if "seconds" in run.metrics:
                    measured.row.draws[-1].seconds = _per_image(measured.example, seconds)
        return found

    def _with_baselines(self, example: Example) -> Measured:
        task = task_of(self.model)
        found = Measured(example, Row(example.index, example.name))
        for name in self.run.baselines(task.name):
            begun = time.perf_counter()
            image = restore_simply(task, name, example)
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
        images = {}
        for candidate in candidates:
            score = candidate.score
            images[candidate.k] = candidate.image
            assert score.rank_score is not None
            draws.candidates.append(
                Draw(candidate.k, candidate.seed, score.log_likelihood, score.rank_score)
            )
        draws.diverged = [k for k in range(m) if k not in images]
        measured.row.draws.append(draws)
        measured.images.append(images)
        cells = [cell for cell in run.cells if cell.tau == draws.tau and cell.m <= draws.most]
        for first in sorted({cell.m for cell in cells}):
            self._add_figures(measured.example, draws, images, first)
        kept = draws.candidates if cells else []  # if empty, drawn only for their likelihoods
        if run.whole:
            best = {draw.k for cell in cells for draw in draws.ranked(cell)[: cell.n]}
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
        for rule in self.run.rank:
            if rule not in ("likelihood", "none"):
                ranked = order(rule, scores, rmse_between(first))
                draws.orders.setdefault(rule, {})[m] = [ks[place] for place, _ in ranked]
        if "diversity" in self.run.metrics and len(ks) > 1:
            draws.diversity[m] = diversity(to_batch(first))
        if first and self.lpips is not None:
            draws.space[m] = self._space(example, first)
        if "calibration" in self.run.metrics and len(ks) == m > 1:
            truth = to_batch([example.truth])[0]
            hole = None if example.hole is None else torch.from_numpy(example.hole)
            draws.ranks[m] = rank_histogram(to_batch(first), truth, hole).tolist()

    def _space(self, example: Example, samples: Sequence[Pixels]) -> Values:
        if self.lpips is None:
            return {}
        values = space_metrics(task_of(self.model), example.truth, samples, self.lpips)
        return {name: value for name, value in values.items() if name in self.run.metrics}

    def _values(self, example: Example, images: list[Pixels]) -> list[Values]:
        """The metrics of images against the truth; None stands for infinity."""
        if not images:
            return []
        task = task_of(self.model)
        truths = to_batch([example.truth] * len(images))
        pairs = self.pairs(to_batch(images), truths)
        found: list[Values] = []
        for image, pair in zip(images, pairs, strict=True):
            values: Values = {}
            for name, value in pair.items():
                values[name] = None if value == math.inf else value
            for name, metric in OF_EXAMPLES.items():
                if name not in self.run.metrics:
                    continue
                of_image = metric(task, example, image)
                if of_image is not None:
                    values[name] = None if of_image == math.inf else of_image
            found.append(values)
        return found


def _per_image(example: Example, seconds: float) -> list[float]:
    """The pair of the metric `seconds`: seconds, and megapixels."""
    height, width = example.truth.shape[:2]
    return [seconds, height * width / 1e6]
