"""Measuring images: candidates are sampled, scored, and compared with the truth."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import EXIT_FAILED, CaflowError
from ..inference import Candidate, Request, Sampler, Score, task_of, to_batch
from ..inference.rank import distances, order
from ..model import CAFlow
from ..sampling import SEEDS
from ..tasks import Pixels
from ..temperature import Temperature
from .examples import Example, inconsistency, restore_simply, seam
from .metrics.pairs import colourfulness, diversity, psnr_hole, rank_histogram
from .outputs import Measured
from .result import ranked
from .settings import Settings

__all__ = ["SEED_STEP", "Measurer"]

SEED_STEP = 1_000_003  # between the seeds of neighbouring images


class Measurer:
    """Samples, scores and measures images, several at a time.

    Args:
        model: Any model.
        run: What is measured.
        pairs: `pair_metrics`.
        example: Makes the example of an image by its index.
    """

    def __init__(
        self,
        model: CAFlow,
        run: Settings,
        pairs: Callable[[Tensor, Tensor], list[dict[str, float]]],
        example: Callable[[int], Example],
    ) -> None:
        self._model, self._run, self._pairs, self._example = model, run, pairs, example
        self._task = task_of(model)

    def attempt(self, indices: Sequence[int]) -> Iterator[tuple[int, Measured | CaflowError]]:
        """Measure images of one size together; one by one if one of them fails."""
        examples = []
        for index in indices:
            try:
                examples.append(self._example(index))
            except CaflowError as error:
                yield index, _of_one_image(error)
        try:
            measured = self._measure(examples) if examples else []
        except CaflowError as error:
            if len(examples) == 1:
                yield examples[0].index, _of_one_image(error)
                return
            for example in examples:
                yield from self.attempt([example.index])
        else:
            yield from ((one.example.index, one) for one in measured)

    @torch.no_grad()
    def _measure(self, examples: Sequence[Example]) -> list[Measured]:
        run, begun = self._run, time.perf_counter()
        requests = [Request.of(self._task, one.input, one.mask) for one in examples]
        sampler = Sampler(self._model, requests, batch_size=run.batch_size)
        encoding = time.perf_counter() - begun
        found = [self._with_baselines(example) for example in examples]
        if {"bpd", "likelihood"} & set(run.metrics):
            scores = sampler.score([one.truth for one in examples], run.noise_samples)
            for one, score in zip(found, scores, strict=True):
                one.row["truth"] = _truth(score)
        seeds = [(run.seed + SEED_STEP * one.index) % SEEDS for one in examples]
        for tau, m in run.draws:
            begun = time.perf_counter()
            drawn: list[list[Candidate]] = [[] for _ in examples]
            for batch in sampler.batches(tau, range(m), seeds, run.noise_samples):
                for candidate in batch:
                    drawn[candidate.row].append(candidate)
            if any(len(some) < m for some in drawn):
                raise CaflowError(
                    f"11 samples in a row diverged at tau {tau}",
                    "a lower --tau, or images more like those of the training",
                )
            seconds = encoding + time.perf_counter() - begun
            for one, some in zip(found, drawn, strict=True):
                one.drawn.append([candidate.image for candidate in some])
                one.row["draws"].append(self._draws(one, tau, some, seconds))
        return found

    def _with_baselines(self, example: Example) -> Measured:
        """A row with the figures of the baselines."""
        images, values = {}, {}
        for name in self._run.baselines(self._task.name):
            begun = time.perf_counter()
            image = restore_simply(name, example)
            seconds = time.perf_counter() - begun
            if image is None:
                continue
            images[name] = image
            if compared := self._compare(example, [image])[0]:
                values[name] = compared | self._seconds(example, seconds)
        row = {"index": example.index, "name": example.name, "draws": [], "baselines": values}
        return Measured(example, row, images)

    def _draws(
        self, one: Measured, tau: Temperature, drawn: list[Candidate], seconds: float
    ) -> dict[str, Any]:
        """The candidates at a temperature, as a row has them."""
        run, images = self._run, one.drawn[-1]
        draws: dict[str, Any] = {
            "tau": tau.as_json(),
            "candidates": [_candidate(candidate, run) for candidate in drawn],
            **self._seconds(one.example, seconds),
        }
        cells = [cell for cell in run.cells if cell.tau == tau and cell.m <= len(drawn)]
        if not cells:  # drawn for its log-likelihoods alone
            return draws
        ms = sorted({cell.m for cell in cells})
        rules = [rule for rule in run.rank if rule not in ("likelihood", "none")]
        if rules:
            scores = [candidate.score.rank_score for candidate in drawn]
            apart = distances(len(drawn), lambda k: images[k])
            draws["orders"] = {
                rule: {str(m): [k for k, _ in order(rule, scores[:m], apart[:m, :m])] for m in ms}
                for rule in rules
            }
        measured: Sequence[int] = range(len(drawn))
        if run.whole:
            kept = (c["k"] for cell in cells for c in ranked(draws, cell.m, cell.rank)[: cell.n])
            measured = list(dict.fromkeys(kept))
        values = self._compare(one.example, [images[k] for k in measured])
        for k, of_one in zip(measured, values, strict=True):
            draws["candidates"][k] |= of_one
        for m in ms if {"diversity", "calibration"} & set(run.metrics) else ():
            stacked = to_batch(images[:m])
            if m > 1 and "diversity" in run.metrics:
                draws.setdefault("diversity", {})[str(m)] = diversity(stacked)
            if m > 1 and "calibration" in run.metrics:
                truth, hole = to_batch([one.example.truth])[0], one.example.hole
                where = None if hole is None else torch.from_numpy(hole)
                shares = rank_histogram(stacked, truth, where).tolist()
                draws.setdefault("ranks", {})[str(m)] = shares
        return draws

    def _compare(self, example: Example, images: list[Pixels]) -> list[dict[str, Any]]:
        """Compare images with the truth."""
        metrics, truth = self._run.metrics, to_batch([example.truth])
        batch = to_batch(images)
        found: list[dict[str, Any]] = [
            {name: value if math.isfinite(value) else None for name, value in values.items()}
            for values in self._pairs(batch, truth.expand(len(images), -1, -1, -1))
        ]
        for values, image, tensor in zip(found, images, batch.split(1), strict=True):
            more: dict[str, Any] = {}
            if "consistency" in metrics:
                more["consistency"] = inconsistency(self._task, example, image)
            if "seam" in metrics:
                more["seam"] = seam(example, image)
            if "psnr_hole" in metrics:
                level = psnr_hole(tensor, truth, torch.from_numpy(example.hole)).item()
                values["psnr_hole"] = level if math.isfinite(level) else None
            if "colourfulness" in metrics:
                more["colourfulness"] = [colourfulness(x).item() for x in (tensor, truth)]
            values |= {name: value for name, value in more.items() if value is not None}
        return found

    def _seconds(self, example: Example, seconds: float) -> dict[str, list[float]]:
        if "seconds" not in self._run.metrics:
            return {}
        return {"seconds": [seconds, math.prod(example.truth.shape[:2]) / 1e6]}


def _of_one_image(error: CaflowError) -> CaflowError:
    """An error of a single image; one of the whole evaluation is raised."""
    if error.exit_code != EXIT_FAILED:
        raise error
    return error


def _truth(score: Score) -> dict[str, float]:
    if score.log_likelihood is None or score.bits_per_dim is None:
        raise _no_likelihood(score)
    found = {"log_likelihood": score.log_likelihood, "bits_per_dim": score.bits_per_dim}
    if score.standard_error is not None:
        found["standard_error"] = score.standard_error
    return found


def _candidate(candidate: Candidate, run: Settings) -> dict[str, Any]:
    score = candidate.score
    found = {"k": candidate.k, "seed": candidate.seed, "log_likelihood": score.log_likelihood}
    if score.log_likelihood is None:
        if not run.whole:
            raise _no_likelihood(score)
        found["rank_score"] = score.rank_score
    return found


def _no_likelihood(score: Score) -> CaflowError:
    width, height = score.scored_size
    return CaflowError(
        f"images of {width}x{height} are scored in tiles, which have no joint log-likelihood",
        "use a --model for smaller images",
    )
