"""The state of an evaluation: sums over rows, features of sets, failures."""

from __future__ import annotations

from typing import Any

from ..inference.score import estimator_of, task_of
from ..model import CAFlow
from .feature_sets import FeatureSets
from .measure import Measured
from .metrics.features import Extractor
from .metrics.frechet import cautions, distances
from .metrics.set_features import SetFeatures
from .problems import BASELINES
from .protocols import Protocol
from .result import Evaluation, Failure, Result
from .saved_images import SavedImages
from .settings import Cell, EvaluationSettings
from .summary import RowSummary

__all__ = ["Findings"]


class Findings:
    """Accumulates measurements and failures, picture by picture.

    Args:
        extractor: Computes features for sets; None if no metric and no file needs them.
        side: That all pictures were brought to; None: they are measured as they are.
    """

    def __init__(
        self,
        model: CAFlow,
        settings: EvaluationSettings,
        extractor: Extractor | None,
        side: int | None,
    ) -> None:
        self._model, self._settings, self._side = model, settings, side
        self._task_name = task_of(model).name
        self._baseline_name = BASELINES[self._task_name]
        self.summary = RowSummary(settings, self._baseline_name)
        self.features = None if extractor is None else FeatureSets(extractor, settings)
        self.failed: list[Failure] = []

    def add(self, measured: Measured, saved: SavedImages | None) -> None:
        """Add a picture; `saved` is as for `FeatureSets.add`."""
        self.summary.add(measured.row)
        if self.features is not None:
            self.features.add(measured, saved)

    def evaluation(
        self, data: str, split: str, split_seed: int | None, protocol: Protocol | None
    ) -> Evaluation:
        """All results, in the order of the table."""
        settings, features = self._settings, self.features
        sets = settings.wants("sets")
        labels = [name for name in settings.metrics if name not in sets]
        notes: list[str] = []
        if features is not None and sets:
            labels += [features.extractor.label(name) for name in sets]
            notes = cautions([features.truths])
        about: dict[str, Any] = {
            "task": self._task_name,
            "data": {"path": data, "split": split, "split_seed": split_seed, "size": self._side},
            "params": settings.as_json(),
            "estimator": estimator_of(self._model, settings.noise_samples),
        }
        results = self._results()
        if protocol is not None:
            about["protocol"] = protocol.as_json()
            results += protocol.published
            notes += protocol.departures(settings, self.summary.count, labels)
        return Evaluation(
            form="model",
            images=self.summary.count,
            metrics=labels,
            results=results,
            settings=about,
            gaps=self.summary.gaps,
            failed=self.failed,
            notes=notes,
        )

    def _results(self) -> list[Result]:
        settings, summary, features = self._settings, self.summary, self.features
        results: list[Result] = []
        baseline = None if features is None else features.baseline
        if summary.baseline or baseline is not None:
            result = Result(self._baseline_name, summary.baseline)
            if baseline is not None and self._task_name != "paired":  # that set is the truths' own
                self._add_distances(result, baseline)
            results.append(result)
        for cell in settings.cells if settings.draws else ():
            of_cell = summary.results(cell)
            if features is not None:
                self._add_distances(of_cell[0], features.kept(cell))
                if (
                    "coverage" in settings.metrics
                    and (own := features.own_coverage(cell)) is not None
                ):
                    of_cell[0].extra[f"{features.extractor.label('coverage')}_own"] = own
            results += of_cell
        if summary.truth is not None:
            results.append(summary.truth)
        for gap in summary.gaps:
            if gap.tau not in settings.taus:
                cell = Cell(gap.tau, gap.m, 1)
                results.append(Result("model", {"likelihood": gap.above_all}, cell))
        return results

    def _add_distances(self, result: Result, generated: SetFeatures) -> None:
        sets = self._settings.wants("sets")
        if self.features is not None and sets:
            found, extra = distances(sets, self.features.extractor, generated, self.features.truths)
            result.values |= found
            result.extra |= extra
