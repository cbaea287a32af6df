"""Measure images: sample candidates, score them, and compare them with the truth."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ..config import Temperature
from ..data.examples import Examples
from ..ensembles import Array, crps, diversity, rank_histogram
from ..errors import CaflowError, ensure
from ..images import Input, Pixels, Raster, levels_in
from ..model import CAFlow
from ..restoration import (
    Candidates,
    Conditions,
    Diverged,
    Request,
    draw,
    encode,
    order,
    prepare,
    requests_at_a_time,
    rmse_between,
    score_images,
    to_batch,
)
from ..restoration.score import Estimator, estimator_of
from ..sampling import seed_of
from ..tasks import Example, Task
from .examples import EXAMPLE_METRICS, make_example, run_baseline
from .kinds import Cell
from .metrics.pairs import OF_LPIPS, load_lpips, measure_pairs
from .rows import Draw, Draws, Row, Values
from .settings import Settings
from .space import space_metrics


@dataclass(frozen=True, eq=False)
class Measured:
    """An example, its row of measurements, and the measured images."""

    example: Example
    row: Row
    baselines: dict[str, Pixels] = field(default_factory=dict)  # by name
    images: dict[Temperature, dict[int, Pixels]] = field(default_factory=dict)  # by k

    def kept(self, cell: Cell) -> list[Pixels]:
        """The N best candidates, best first."""
        ranked = self.row.at(cell.tau).ranked(cell.rank)
        images = self.images[cell.tau]
        return [images[draw.k] for draw in ranked[: cell.keep]]


@dataclass(frozen=True, eq=False)
class Measurer:
    """Samples, scores and measures images, several at a time."""

    model: CAFlow
    task: Task
    run: Settings
    images: Examples
    masks: Examples | None  # of damage, if the protocol needs them

    @property
    def baselines(self) -> Sequence[str]:
        return self.run.protocol.baselines or (self.task.baseline,)

    @property
    def estimator(self) -> Estimator:
        """How log-likelihoods are estimated."""
        return estimator_of(self.model, self.run.given["noise_samples"])

    def measure(
        self, indices: Sequence[int], side: int | None
    ) -> Iterator[tuple[int, Measured | CaflowError]]:
        """Measure images, or say why one failed. With a common `side` they are drawn in batches."""
        run = self.run
        step = 1
        if side is not None:
            step = requests_at_a_time((side, side), run.m, run.given["batch_size"])
        for first in range(0, len(indices), step):
            batch = indices[first : first + step]
            try:
                yield from zip(batch, self._measure(batch), strict=True)
            except CaflowError as error:
                if len(batch) == 1:
                    yield batch[0], error
                else:  # which of them is it?
                    yield from self.measure(batch, None)

    @torch.no_grad()
    def _measure(self, indices: Sequence[int]) -> list[Measured]:
        run = self.run
        found = [self.example(index) for index in indices]
        ensure(
            len({measured.row.depth for measured in found}) == 1,
            "images of a batch have 8 and 16 bits per channel",
            "measure them one by one",
        )
        begun = time.perf_counter()
        requests = [self._request(measured.example) for measured in found]
        conditions = encode(requests)
        encoding = time.perf_counter() - begun
        for measured in found:
            self._add_baselines(measured)
        if "bpd" in run.metrics or "likelihood" in run.metrics:
            self._score_truths(requests, conditions, found)
        seeds = [seed_of(index, run.given["seed"]) for index in indices]
        for tau, most in run.draws.items():
            m = run.drawn(most, requests[0].size)
            begun = time.perf_counter()
            unanswered = self._unanswered(requests, seeds, tau, m)
            try:
                *_, drawn = draw(unanswered, conditions, batch_size=run.given["batch_size"])
            except Diverged:
                if len(found) > 1:
                    raise
                drawn = unanswered  # at this temperature the image has no candidates
            seconds = encoding + time.perf_counter() - begun
            for measured, candidates in zip(found, drawn, strict=True):
                draws = Draws(tau, most, **candidates.divergence._asdict())
                self._add_seconds(measured.example, draws.values, seconds)
                self._add_draws(measured, candidates, draws)
        return found

    def _request(self, example: Example) -> Request:
        """The request for an example, of which each setting of the sweep makes its own."""
        image = Input(Raster(example.input))
        request = prepare(self.model, image, example.mask, self.run.sampling)
        return replace(request, noise_samples=self.run.given["noise_samples"])

    def _unanswered(
        self, requests: Sequence[Request], seeds: Sequence[int], tau: Temperature, m: int
    ) -> list[Candidates]:
        """Requests for M candidates at a temperature, of which none is drawn."""
        unanswered = []
        for request, seed in zip(requests, seeds, strict=True):
            sampling = replace(request.sampling, tau=tau, candidates=m, seed=seed)
            unanswered.append(Candidates(replace(request, sampling=sampling)))
        return unanswered

    def example(self, index: int) -> Measured:
        """The input of an image and its truth, not measured yet."""
        run = self.run
        example = make_example(
            self.task,
            self.images,
            index,
            self.masks,
            run.given["seed"],
            run.inputs,
        )
        name = self.images.names[index]
        depth = 8 * example.truth.dtype.itemsize
        return Measured(example, Row(index, name, depth=depth))

    def _add_baselines(self, measured: Measured) -> None:
        example = measured.example
        for name in self.baselines:
            begun = time.perf_counter()
            image = run_baseline(self.task, name, example)
            seconds = time.perf_counter() - begun
            if image is None:
                continue
            [values] = self._values(example, [image])
            values |= self._space(example, [image])
            if "crps" in self.run.metrics:
                values["crps"] = float(crps(*_unknown(example, [image])).mean())
            self._add_seconds(example, values, seconds)
            measured.baselines[name] = image
            measured.row.baselines[name] = values

    def _add_seconds(self, example: Example, values: Values, seconds: float) -> None:
        """Add the pair of the metric `seconds`: seconds, and megapixels."""
        if "seconds" in self.run.metrics:
            height, width = example.truth.shape[:2]
            values["seconds"] = [seconds, height * width / 1e6]

    def _score_truths(
        self, requests: Sequence[Request], conditions: Conditions, found: Sequence[Measured]
    ) -> None:
        truths = [measured.example.truth for measured in found]
        scores = score_images(requests, conditions, truths)
        for measured, score in zip(found, scores, strict=True):
            ensure(
                score.log_likelihood is not None,
                "large images are scored in tiles, which have no joint log-likelihood",
                "use a --model for smaller images, or leave bpd and likelihood out",
            )
            for name in ("log_likelihood", "bits_per_dim", "standard_error"):
                value = getattr(score, name)
                if value is not None:
                    measured.row.truth[name] = value

    def _add_draws(self, measured: Measured, found: Candidates, draws: Draws) -> None:
        """Add what was drawn: its scores, metrics and order."""
        images = {}
        for candidate in found.drawn:
            images[candidate.k] = candidate.pixels
            draws.candidates.append(
                Draw(
                    candidate.k,
                    candidate.seed,
                    candidate.score.log_likelihood,
                    None if candidate.predicted else candidate.score.rank_score or 0.0,
                )
            )
        measured.row.draws.append(draws)
        measured.images[draws.tau] = images
        self._add_figures(measured.example, draws, list(images.values()))
        kept = self.run.kind.measured(draws, self.run.cells)
        measured_images = [images[draw.k] for draw in kept]
        values = self._values(measured.example, measured_images)
        for drawn, of_drawn in zip(kept, values, strict=True):
            drawn.values = of_drawn

    def _add_figures(self, example: Example, draws: Draws, images: list[Pixels]) -> None:
        """Add what depends on all candidates together."""
        metrics = self.run.metrics
        draws.values |= self._space(example, images)
        if "consensus" in self.run.rank:
            pairs = zip(draws.candidates, images, strict=True)
            whole = [(draw, image) for draw, image in pairs if draw.rank_score is not None]
            scores = [draw.rank_score or 0.0 for draw, _ in whole]
            ranked = order("consensus", scores, rmse_between([image for _, image in whole]))
            draws.consensus = [whole[place][0].k for place, _ in ranked]
        if len(images) < 2:
            return
        if "diversity" in metrics:
            draws.values["diversity"] = diversity(_levels(*images))
        members, truth = _unknown(example, images)
        if "crps" in metrics:
            draws.values["crps"] = float(crps(members, truth).mean())
        if not {"calibration", "rank"}.isdisjoint(metrics) and not draws.predicted:
            draws.ranks = rank_histogram(members, truth).tolist()

    def _space(self, example: Example, samples: Sequence[Pixels]) -> Values:
        names = self.run.of_samples
        if not names or not samples:
            return {}
        lpips = None
        if not set(names).isdisjoint(OF_LPIPS):
            lpips = load_lpips(self.run.given["weights"], self.model.device)
        values = space_metrics(self.task, example.truth, samples, lpips)
        return {name: values[name] for name in names}

    def _values(self, example: Example, images: list[Pixels]) -> list[Values]:
        """The metrics of images against the truth; None stands for infinity."""
        if not images:
            return []
        metrics = self.run.metrics
        truths = to_batch([example.truth] * len(images))
        found = measure_pairs(
            metrics,
            to_batch(images),
            truths,
            self.run.given["weights"],
            self.model.device,
        )
        for image, values in zip(images, found, strict=True):
            for name in metrics:
                if name in EXAMPLE_METRICS:
                    value = EXAMPLE_METRICS[name](self.task, example, image)
                    if value is not None:
                        values[name] = value
            for name, value in values.items():
                if value == math.inf:
                    values[name] = None
        return found


def _levels(*images: Pixels) -> Array:
    """Images in levels of 8 bits, (M, H, W, C) float64."""
    return np.stack(images) / levels_in(images[0])


def _unknown(example: Example, images: Sequence[Pixels]) -> tuple[Array, Array]:
    """The values of images, (M, ...), and those of the truth, in levels; in holes alone, if any."""
    members, [truth] = _levels(*images), _levels(example.truth)
    if example.hole is None:
        return members, truth
    return members[:, example.hole], truth[example.hole]
