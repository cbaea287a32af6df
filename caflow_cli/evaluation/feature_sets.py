"""The features of the sets of an evaluation: truths, baseline pictures and kept candidates."""

from __future__ import annotations

import torch
from torch import Tensor

from ..inference.score import to_batch
from ..temperature import Temperature
from .measure import Measured
from .metrics.coverage import own_coverage
from .metrics.features import Extractor
from .metrics.set_features import KEEPING, SetFeatures
from .saved_images import SavedImages
from .settings import Cell, EvaluationSettings

__all__ = ["FeatureSets"]


class FeatureSets:
    """Accumulates the features of pictures, set by set. Memory does not grow with their number.

    Attributes:
        truths: Features of the true pictures.
        baseline: Features of the baseline's pictures; None if there is no baseline.
    """

    def __init__(self, extractor: Extractor, settings: EvaluationSettings) -> None:
        self.extractor = extractor
        self._settings = settings
        self.truths = self._empty()
        self.baseline: SetFeatures | None = None
        self._kept: dict[Cell, SetFeatures] = {cell: self._empty() for cell in settings.cells}
        # Of each truth to the nearest of its own kept candidates.
        self._nearest: dict[Cell, list[float]] = {cell: [] for cell in settings.cells}

    def _empty(self) -> SetFeatures:
        return SetFeatures(self.extractor.name, bool(set(KEEPING) & set(self._settings.metrics)))

    def kept(self, cell: Cell) -> SetFeatures:
        """The features of the candidates that a setting keeps."""
        return self._kept[cell]

    def own_coverage(self, cell: Cell) -> float | None:
        """`own_coverage` of what a setting keeps; None where truths are too many to be kept."""
        return own_coverage(self._nearest[cell], self.truths) if self.truths.keeps_all else None

    def add(self, measured: Measured, saved: SavedImages | None) -> None:
        """Add a picture's truth and, if a metric compares sets, its baseline and candidates.

        Args:
            measured: The picture.
            saved: The files of its candidates, if an earlier run drew them.
        """
        truth = self.extractor(to_batch([measured.problem.truth]))
        self.truths.add(truth)
        if not self._settings.wants("sets"):
            return
        if measured.problem.baseline is not None:
            if self.baseline is None:
                self.baseline = self._empty()
            self.baseline.add(self.extractor(to_batch([measured.problem.baseline])))
        known: dict[tuple[Temperature, int], Tensor] = {}
        for cell, features in self._kept.items():
            found: list[Tensor] = []
            if measured.drawn:
                for drawn in measured.kept(cell):
                    if (cell.tau, drawn.k) not in known:
                        known[cell.tau, drawn.k] = self.extractor(to_batch([drawn.image]))
                    found.append(known[cell.tau, drawn.k])
            elif saved is not None:
                for image in saved.read(cell, measured.problem.name):
                    found.append(self.extractor(to_batch([image])))
            own = torch.cat(found)
            features.add(own)
            if self.truths.keeps_all:
                self._nearest[cell].append(float((own - truth).norm(dim=1).min()))
