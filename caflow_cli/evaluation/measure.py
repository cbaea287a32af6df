"""The measuring of pictures: candidates are drawn, scored, and compared with the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import CaflowError
from ..inference.choice import distances, order
from ..inference.score import Score, task_of, to_batch
from ..model import CAFlow
from ..temperature import Temperature
from .draws import ConditionedProblems, Drawn
from .metrics.formulas import diversity, rank_histogram
from .metrics.pairs import PairMetrics
from .picture_row import CandidateRow, DrawsRow, PictureRow, TruthRow, Values
from .problems import Problem, inconsistency, seam
from .settings import Cell, EvaluationSettings

__all__ = ["Measured", "Measurer"]


@dataclass(frozen=True, eq=False)
class Measured:
    """A picture's row, and the pictures that it was measured from."""

    problem: Problem
    row: PictureRow
    # By temperature, in the order of k; empty: of an earlier run.
    drawn: dict[Temperature, list[Drawn]]

    def kept(self, cell: Cell) -> list[Drawn]:
        """The N best of the first M candidates, best first."""
        order = self.row.draws_at(cell.tau).ranked(cell.m, cell.rank)
        return [self.drawn[cell.tau][candidate.k] for candidate in order[: cell.n]]


class Measurer:
    """Draws, scores and measures pictures, several at a time."""

    def __init__(
        self,
        model: CAFlow,
        settings: EvaluationSettings,
        pairs: PairMetrics,
        batch_size: int | None = None,
    ) -> None:
        self._model, self._settings, self._pairs = model, settings, pairs
        self._batch_size = batch_size
        self._task = task_of(model)

    @torch.no_grad()
    def __call__(self, problems: Sequence[Problem]) -> list[Measured]:
        """Measure pictures of one size.

        Raises:
            CaflowError: A draw or a score is not finite.
        """
        settings = self._settings
        conditioned = ConditionedProblems(self._model, problems)
        truths: list[TruthRow | None] = [None] * len(problems)
        if {"bpd", "likelihood"} & set(settings.metrics):
            truths = [
                _truth_row(score) for score in conditioned.truth_scores(settings.noise_samples)
            ]
        baselines = [
            None if p.baseline is None else self._compare(p, [p.baseline])[0] for p in problems
        ]
        drawn: list[dict[Temperature, list[Drawn]]] = [{} for _ in problems]
        draws_rows: list[list[DrawsRow]] = [[] for _ in problems]
        for tau in settings.draws:
            of_each = conditioned.draw(
                tau, settings.most, settings.seed, settings.noise_samples, self._batch_size
            )
            for place, (problem, candidates) in enumerate(zip(problems, of_each, strict=True)):
                drawn[place][tau] = candidates
                draws_rows[place].append(self._draws_row(problem, tau, candidates))
        return [
            Measured(
                problem,
                PictureRow(
                    problem.index,
                    problem.name,
                    tuple(draws_rows[place]),
                    truths[place],
                    baselines[place],
                ),
                drawn[place],
            )
            for place, problem in enumerate(problems)
        ]

    def _draws_row(
        self,
        problem: Problem,
        tau: Temperature,
        drawn: list[Drawn],
    ) -> DrawsRow:
        settings = self._settings
        if tau not in settings.taus:  # drawn for its log-likelihoods alone
            return DrawsRow(tau, tuple(_candidate_row(d, {}) for d in drawn))
        compared = self._compare(problem, [d.image for d in drawn])
        candidates = tuple(map(_candidate_row, drawn, compared))
        images = to_batch([d.image for d in drawn])
        spread, histograms = None, None
        if "diversity" in settings.metrics:
            spread = {m: diversity(images[:m]) for m in settings.candidates if m > 1}
        if "calibration" in settings.metrics:
            truth = to_batch([problem.truth])[0]
            where = None if problem.hole is None else torch.from_numpy(problem.hole)
            histograms = {
                m: rank_histogram(images[:m], truth, where)[0].tolist()
                for m in settings.candidates
                if m > 1
            }
        return DrawsRow(tau, candidates, spread, histograms, self._orders(drawn))

    def _orders(self, drawn: list[Drawn]) -> dict[str, dict[int, list[int]]] | None:
        """Of each rule that needs more than the row tells, for every M."""
        rules = [rule for rule in self._settings.ranks if rule not in ("likelihood", "none")]
        if not rules:
            return None
        scores = [d.score.rank_score for d in drawn]
        apart = None
        if "consensus" in rules:
            apart = distances(len(drawn), lambda k: drawn[k].image)
        return {
            rule: {
                m: [
                    place.k
                    for place in order(rule, scores[:m], None if apart is None else apart[:m, :m])
                ]
                for m in self._settings.candidates
            }
            for rule in rules
        }

    def _compare(self, problem: Problem, images: list[np.ndarray]) -> list[Values]:
        """Compare each picture with the truth."""
        truth = to_batch([problem.truth]).expand(len(images), -1, -1, -1)
        found: list[Values] = [
            {name: value if math.isfinite(value) else None for name, value in values.items()}
            for values in self._pairs(to_batch(images), truth)
        ]
        for values, image in zip(found, images, strict=True):
            if "consistency" in self._settings.metrics:
                level = inconsistency(self._task, problem, image)
                if level is not None:
                    values["consistency"] = level
            if "seam" in self._settings.metrics:
                step = seam(problem, image)
                if step is not None:
                    values["seam"] = step
        return found


def _truth_row(score: Score) -> TruthRow:
    if score.log_likelihood is None or score.bits_per_dim is None:
        raise _no_likelihood(score)
    return TruthRow(score.log_likelihood, score.bits_per_dim, score.standard_error)


def _candidate_row(drawn: Drawn, values: Values) -> CandidateRow:
    if drawn.score.log_likelihood is None:
        raise _no_likelihood(drawn.score)
    return CandidateRow(drawn.k, drawn.seed, drawn.score.log_likelihood, values)


def _no_likelihood(score: Score) -> CaflowError:
    if score.score_domain == "parts":
        return CaflowError(
            "a hole with thick and thin places has no log-likelihood, because the thick ones are "
            "shrunk",
            "measure such holes one by one",
        )
    width, height = score.scored_size
    return CaflowError(
        f"pictures of {width}x{height} are scored in tiles, which have no joint log-likelihood",
        "use a --model for smaller pictures",
    )
