"""What a run accumulates: sums of rows, features of sets, failures."""

from __future__ import annotations

from typing import Any

from ..errors import CaflowError
from ..inference.score import estimator_of, task_of, to_batch
from ..model import CAFlow
from .features import Extractor
from .keep import SavedImages
from .plan import Cell, Plan
from .problems import BASELINES
from .protocols import Protocol
from .result import Evaluation, Result
from .rows import Measured
from .sets import SetFeatures, cautions, distances
from .summary import Summary

__all__ = ["Run"]

_TRUTH, _BASELINE = "truth", "baseline"  # keys beside the settings


class Run:
    """What a run accumulates."""

    def __init__(self, model: CAFlow, plan: Plan) -> None:
        self.model, self.plan, self.task = model, plan, task_of(model)
        self.summary = Summary(plan, BASELINES.get(self.task.name))
        self.failed: list[tuple[str, CaflowError]] = []
        self.extractor: Extractor | None = None
        self._sides: dict[Cell | str, SetFeatures] = {}

    @property
    def truths(self) -> SetFeatures:
        return self._side(_TRUTH)

    def _side(self, key: Cell | str) -> SetFeatures:
        if key not in self._sides:
            assert self.extractor is not None
            self._sides[key] = SetFeatures(self.extractor.name, "kid" in self.plan.metrics)
        return self._sides[key]

    def add_features(self, measured: Measured, saved: SavedImages | None) -> None:
        """The truth's, the baseline's, and those of the candidates kept in each setting."""
        if self.extractor is None:
            return
        self.truths.add(self.extractor(to_batch([measured.problem.truth])))
        if not self.plan.wants("sets"):
            return
        if measured.problem.baseline is not None:
            self._side(_BASELINE).add(self.extractor(to_batch([measured.problem.baseline])))
        known: dict[tuple[float, int], Any] = {}
        for cell in self.plan.cells:
            if measured.drawn:
                kept = measured.kept(cell)
                for drawn in kept:
                    if (cell.tau, drawn.k) not in known:
                        features = self.extractor(to_batch([drawn.image]))
                        known[cell.tau, drawn.k] = features
                for drawn in kept:
                    self._side(cell).add(known[cell.tau, drawn.k])
            elif saved is not None:
                for image in saved.read(cell, measured.problem.name):
                    self._side(cell).add(self.extractor(to_batch([image])))

    def evaluation(self, data: str, split: str, protocol: Protocol | None) -> Evaluation:
        """All results, in the order of the table."""
        results: list[Result] = []
        sets = self.plan.wants("sets")
        labels = [m for m in self.plan.metrics if m not in sets]
        baseline = BASELINES.get(self.task.name)
        if baseline is not None and (self.summary.baseline or _BASELINE in self._sides):
            row = Result(baseline, self.summary.baseline)
            self._add_sets(row, _BASELINE)
            results.append(row)
        for cell in self.plan.cells if self.plan.draws else ():
            rows = self.summary.results(cell)
            self._add_sets(rows[0], cell)
            results += rows
        if self.summary.truth is not None:
            results.append(self.summary.truth)
        for gap in self.summary.gaps:
            if gap.tau not in self.plan.taus:
                cell = Cell(gap.tau, gap.m, 1)
                results.append(Result("model", {"likelihood": gap.above_all}, cell))
        notes = []
        if self.extractor is not None and sets:
            labels += [self.extractor.label(name) for name in sets]
            notes = cautions([self.truths])
        settings: dict[str, Any] = {
            "task": self.task.name,
            "data": {"path": data, "split": split, "size": self.model.config.task.size},
            "params": self.plan.as_json(),
            "estimator": estimator_of(self.model, self.plan.noise_samples),
        }
        if protocol is not None:
            settings["protocol"] = protocol.as_json()
            results += protocol.published
            notes += protocol.departures(self.plan, self.summary.count, labels)
        return Evaluation(
            form="model",
            images=self.summary.count,
            metrics=labels,
            results=results,
            settings=settings,
            gaps=self.summary.gaps,
            failed=self.failed,
            notes=notes,
        )

    def _add_sets(self, result: Result, key: Cell | str) -> None:
        sets = self.plan.wants("sets")
        if self.extractor is not None and sets:
            found, extra = distances(sets, self.extractor, self._side(key), self.truths)
            result.values |= found
            result.extra |= extra
