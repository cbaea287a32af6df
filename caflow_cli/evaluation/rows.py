"""What is measured of one picture: a row of plain numbers, from which every result follows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..inference.score import task_of, to_batch
from ..model import CAFlow
from .draws import ConditionedProblems, Drawn
from .metrics import diversity, rank_histogram
from .pairs import PairMetrics
from .plan import Cell, Plan
from .problems import Problem, inconsistency, seam

__all__ = ["Measured", "Measurer", "draws_at", "ranked"]

Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Measured:
    """A picture's row, and the pictures behind it while they are in memory."""

    problem: Problem
    row: Row
    drawn: dict[float, list[Drawn]]  # by temperature, in the order of k

    def kept(self, cell: Cell) -> list[Drawn]:
        """The N likeliest of the first M, best first."""
        order = ranked(draws_at(self.row, cell.tau)["candidates"], cell.m)
        return [self.drawn[cell.tau][c["k"]] for c in order[: cell.n]]


def draws_at(row: Row, tau: float) -> dict[str, Any]:
    """What a row holds of a temperature."""
    return next(draw for draw in row["draws"] if draw["tau"] == tau)


def ranked(candidates: Sequence[dict[str, Any]], m: int) -> list[dict[str, Any]]:
    """The first M candidates by falling log-likelihood; ties by k."""
    return sorted(candidates[:m], key=lambda c: (-c["log_likelihood"], c["k"]))


class Measurer:
    """Draws, scores and measures pictures, several at a time."""

    def __init__(
        self, model: CAFlow, plan: Plan, pairs: PairMetrics, batch_size: int | None = None
    ) -> None:
        self._model, self._plan, self._pairs = model, plan, pairs
        self._batch_size = batch_size
        self._task = task_of(model)

    @torch.no_grad()
    def __call__(self, problems: Sequence[Problem]) -> list[Measured]:
        """Measure pictures of one size.

        Raises:
            CaflowError: One of them has no finite draw or score.
        """
        plan = self._plan
        encoded = ConditionedProblems(self._model, problems)
        truths = (
            encoded.truth_scores(plan.noise_samples)
            if {"bpd", "likelihood"} & set(plan.metrics)
            else [None] * len(problems)
        )
        result = []
        for problem, truth in zip(problems, truths, strict=True):
            row: Row = {"index": problem.index, "name": problem.name, "draws": []}
            if truth is not None:
                row["truth"] = {
                    "log_likelihood": truth.log_likelihood,
                    "bits_per_dim": truth.bits_per_dim,
                }
                if truth.standard_error is not None:
                    row["truth"]["standard_error"] = truth.standard_error
            if problem.baseline is not None:
                row["baseline"] = self._compare(problem, [problem.baseline])[0]
            result.append(Measured(problem, row, {}))
        for tau in plan.draws:
            drawn = encoded.draw(tau, plan.most, plan.seed, plan.noise_samples, self._batch_size)
            for measured, of_picture in zip(result, drawn, strict=True):
                measured.drawn[tau] = of_picture
                measured.row["draws"].append(self._row(measured.problem, tau, of_picture))
        return result

    def _row(self, problem: Problem, tau: float, drawn: list[Drawn]) -> dict[str, Any]:
        candidates: list[dict[str, Any]] = [
            {"k": d.k, "seed": d.seed, "log_likelihood": d.score.log_likelihood} for d in drawn
        ]
        result: dict[str, Any] = {"tau": tau, "candidates": candidates}
        if tau not in self._plan.taus:
            return result  # drawn for its log-likelihoods alone
        compared = self._compare(problem, [d.image for d in drawn])
        for candidate, values in zip(candidates, compared, strict=True):
            candidate.update(values)
        images = to_batch([d.image for d in drawn])
        if "diversity" in self._plan.metrics:
            result["diversity"] = {
                str(m): diversity(images[:m]) for m in self._plan.candidates if m > 1
            }
        if "calibration" in self._plan.metrics:
            truth = to_batch([problem.truth])[0]
            where = None if problem.hole is None else torch.from_numpy(problem.hole)
            result["ranks"] = {
                str(m): rank_histogram(images[:m], truth, where)[0].tolist()
                for m in self._plan.candidates
            }
        return result

    def _compare(self, problem: Problem, images: list[np.ndarray]) -> list[dict[str, float | None]]:
        truth = to_batch([problem.truth]).expand(len(images), -1, -1, -1)
        # JSON has no infinity: None is the PSNR of equal pictures.
        values: list[dict[str, float | None]] = [
            {name: value if math.isfinite(value) else None for name, value in row.items()}
            for row in self._pairs(to_batch(images), truth)
        ]
        for row, image in zip(values, images, strict=True):
            if "consistency" in self._plan.metrics:
                found = inconsistency(self._task, problem, image)
                if found is not None:
                    row["consistency"] = found
            if "seam" in self._plan.metrics:
                found = seam(problem, image)
                if found is not None:
                    row["seam"] = found
        return values
