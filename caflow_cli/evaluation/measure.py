"""Measure images: sample candidates, score them, and compare them with the truth."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from ..config import Temperature
from ..errors import CaflowError, ensure
from ..inference import Candidate, Request, Sampler, order, rmse_between, task_of, to_batch
from ..model import CAFlow
from ..sampling import SEEDS, fitting
from ..tasks import Pixels
from .examples import OF_EXAMPLES, Example, restore_simply
from .metrics.pairs import PairMetrics, diversity, rank_histogram
from .result import Row, draws_of, ranked
from .settings import Cell, Settings

SEED_STEP = 1_000_003  # between the seeds of successive images
_OF_TRUTH = ("log_likelihood", "bits_per_dim", "standard_error")


@dataclass(frozen=True, eq=False)
class Measured:
    """An example, its row of measurements, and the measured images."""

    example: Example
    row: Row
    baselines: dict[str, Pixels] = field(default_factory=dict)
    # Candidates in the order of k, one list for each entry of the row's `draws`.
    drawn: list[list[Pixels]] = field(default_factory=list)

    def kept(self, cell: Cell) -> list[Pixels]:
        """The N best of the first M candidates, best first."""
        draws = draws_of(self.row, cell)
        images = self.drawn[self.row["draws"].index(draws)]
        return [images[c["k"]] for c in ranked(draws, cell)[: cell.n]]


@dataclass(frozen=True, eq=False)
class Measurer:
    """Samples, scores and measures images, several at a time."""

    model: CAFlow
    run: Settings
    pairs: PairMetrics
    example: Callable[[int], Example]  # derives the example of an image from its index

    def attempt(self, indices: Sequence[int]) -> Iterator[tuple[int, Measured | CaflowError]]:
        """Measure images of one size as a batch; if one of them fails, measure them one by one."""
        try:
            measured = self._measure([self.example(index) for index in indices])
        except CaflowError as error:
            if len(indices) == 1:
                yield indices[0], error
            else:
                for index in indices:
                    yield from self.attempt([index])
        else:
            yield from zip(indices, measured, strict=True)

    @torch.no_grad()
    def _measure(self, examples: Sequence[Example]) -> list[Measured]:
        run, task, begun = self.run, task_of(self.model), time.perf_counter()
        requests = [Request.of(task, one.input, one.mask) for one in examples]
        sampler = Sampler(self.model, requests, batch_size=run.batch_size)
        encoding = time.perf_counter() - begun
        found = [self._with_baselines(example) for example in examples]
        if {"bpd", "likelihood"} & set(run.metrics):
            scores = sampler.score([one.truth for one in examples], run.noise_samples)
            for one, score in zip(found, scores, strict=True):
                ensure(
                    score.log_likelihood is not None,
                    "large images are scored in tiles, which have no joint log-likelihood",
                    "use a --model for smaller images, or leave bpd and likelihood out",
                )
                figures = {name: getattr(score, name) for name in _OF_TRUTH}
                one.row["truth"] = {k: v for k, v in figures.items() if v is not None}
        seeds = [(run.seed + SEED_STEP * one.index) % SEEDS for one in examples]
        size = task.model_size(examples[0].input, examples[0].mask)
        for tau, most in run.draws:
            m = fitting(size, most, max(run.keep)) if run.fit else most
            begun = time.perf_counter()
            drawn: list[list[Candidate]] = [[] for _ in examples]
            for batch in sampler.batches(tau, range(m), seeds, run.noise_samples):
                for candidate in batch:
                    drawn[candidate.row].append(candidate)
            ensure(
                all(len(some) == m for some in drawn),
                f"11 samples in a row diverged at tau {tau}",
                "a lower --tau, or images more like the training data",
            )
            seconds = encoding + time.perf_counter() - begun
            for one, some in zip(found, drawn, strict=True):
                one.drawn.append([candidate.image for candidate in some])
                one.row["draws"].append(self._draws(one, (tau, most), some, seconds))
        return found

    def _with_baselines(self, example: Example) -> Measured:
        row: Row = {"index": example.index, "name": example.name, "draws": [], "baselines": {}}
        found = Measured(example, row)
        for name in self.run.baselines(task_of(self.model).name):
            begun = time.perf_counter()
            image = restore_simply(task_of(self.model), name, example)
            seconds = self._seconds(example, time.perf_counter() - begun)
            if image is not None:
                found.baselines[name] = image
                found.row["baselines"][name] = self._values(example, [image])[0] | seconds
        return found

    def _draws(
        self,
        one: Measured,
        setting: tuple[Temperature, int],
        drawn: list[Candidate],
        seconds: float,
    ) -> Row:
        run, images, (tau, most) = self.run, one.drawn[-1], setting
        candidates: list[Row] = [
            {"k": one.k, "seed": one.seed, "log_likelihood": one.score.log_likelihood}
            | ({"rank_score": one.score.rank_score} if one.score.log_likelihood is None else {})
            for one in drawn
        ]
        draws: Row = {"tau": tau.as_json(), "candidates": candidates}
        draws |= self._seconds(one.example, seconds)
        if len(drawn) < most:
            draws["most"] = most
        cells = [cell for cell in run.cells if cell.tau == tau and cell.m <= most]
        ms = sorted({cell.m for cell in cells})
        if rules := set(run.rank) - {"likelihood", "none"}:
            scores = [candidate.score.rank_score for candidate in drawn]
            apart = rmse_between(images)
            draws["orders"] = {
                rule: {str(m): [k for k, _ in order(rule, scores[:m], apart[:m, :m])] for m in ms}
                for rule in rules
            }
        kept = candidates if cells else []  # if empty, drawn only for their likelihoods
        if run.whole:
            best = [c for cell in cells for c in ranked(draws, cell)[: cell.n]]
            kept = list({c["k"]: c for c in best}.values())
        values = self._values(one.example, [images[c["k"]] for c in kept])
        for candidate, of_one in zip(kept, values, strict=True):
            candidate |= of_one
        truth, hole = to_batch([one.example.truth])[0], one.example.hole
        where = None if hole is None else torch.from_numpy(hole)
        for m in ms:
            stacked = to_batch(images[:m])
            if m > 1 and "diversity" in run.metrics:
                draws.setdefault("diversity", {})[str(m)] = diversity(stacked)
            if m > 1 and "calibration" in run.metrics:
                draws.setdefault("ranks", {})[str(m)] = rank_histogram(
                    stacked, truth, where
                ).tolist()
        return draws

    def _values(self, example: Example, images: list[Pixels]) -> list[Row]:
        """The metrics of images against the truth; None stands for infinity."""
        if not images:
            return []
        task, truth = task_of(self.model), to_batch([example.truth] * len(images))
        found: list[Row] = [dict(values) for values in self.pairs(to_batch(images), truth)]
        for image, values in zip(images, found, strict=True):
            for name, metric in OF_EXAMPLES.items():
                if name in self.run.metrics:
                    values[name] = metric(task, example, image)
        known = [{n: v for n, v in values.items() if v is not None} for values in found]
        return [{n: None if v == math.inf else v for n, v in one.items()} for one in known]

    def _seconds(self, example: Example, seconds: float) -> Row:
        figures = [seconds, math.prod(example.truth.shape[:2]) / 1e6]
        return {"seconds": figures} if "seconds" in self.run.metrics else {}
