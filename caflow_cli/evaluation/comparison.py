"""A comparison of pictures with pictures, for both folders and JSON lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError
from ..inference.score import to_batch
from ..paths import is_file
from ..tasks import Picture
from .estimates import RunningMean
from .metrics import METRICS
from .metrics.features import Extractor, load_extractor
from .metrics.frechet import cautions, distances
from .metrics.lpips import measurable
from .metrics.pairs import PairMetrics
from .metrics.set_features import KEEPING, SetFeatures
from .metrics.weights import Weights
from .picture_sets import PictureSet, open_pictures
from .progress import Progress, ProgressCount
from .result import Evaluation, Failure, Result

__all__ = ["Comparison"]

_BATCH = 32
_STATS = ".npz"


class Comparison:
    """Measures pairs and takes features one by one; `conclude` returns the evaluation.

    Open the sets of pictures first and call `start` then. So errors in the sets are reported before
    a network is loaded.

    Args:
        metrics: Those of `METRICS` that need pairs or sets.
        resize: Side of the square that all pictures are first brought to, by Pillow BICUBIC.
        weights: The weights of LPIPS, FID and KID.
        save_stats: An .npz of the reference's features.
    """

    def __init__(
        self,
        metrics: Sequence[str],
        resize: int | None = None,
        weights: Weights | None = None,
        save_stats: str | Path | None = None,
    ) -> None:
        self.paired = [name for name in metrics if METRICS[name].needs == "pairs"]
        self.failed: list[Failure] = []
        self._metrics = list(metrics)
        self._sets = [name for name in metrics if METRICS[name].needs == "sets"]
        self._resize = resize
        self._weights = weights or Weights()
        self._save_stats = save_stats
        self._pairs: PairMetrics | None = None
        self._extractor: Extractor | None = None
        self._columns: dict[str, RunningMean] = {}  # by metric of pairs
        self._count = ProgressCount(None, 0)
        self._notes: list[str] = []

    @property
    def extracts(self) -> bool:
        """Whether features of the sets are needed."""
        return bool(self._sets) or self._save_stats is not None

    def open(self, stack: ExitStack, path: Path) -> PictureSet | SetFeatures:
        """Open the pictures at a path, or their statistics.

        Raises:
            CaflowError: (exit 2) there is neither, or a metric needs pictures and there are only
                statistics.
        """
        if path.suffix.lower() != _STATS or not is_file(path):
            return open_pictures(stack, path, paired=bool(self.paired))
        if self._metrics != ["fid"]:
            raise CaflowError(
                f"{str(path)!r} holds statistics, which only FID reads", "--metric fid", EXIT_USAGE
            )
        return SetFeatures.load(path, self._weights.extractor)

    def start(self, progress: Progress | None, total: int) -> None:
        """Load the networks that the metrics need, and start the count of `total` pictures.

        Raises:
            CaflowError: The weights of a network are missing (exit 3).
        """
        self._count = ProgressCount(progress, total)
        weights = self._weights
        self._metrics = measurable(self._metrics, weights, self._notes)
        if self.paired:
            self.paired = [name for name in self.paired if name in self._metrics]
            self._pairs = PairMetrics(self.paired, weights.lpips)
        if self.extracts:
            self._extractor = load_extractor(
                weights.extractor, fid_weights=weights.fid, lpips_weights=weights.lpips
            )

    def measure_pair(
        self, name: str, images: Sequence[Callable[[], Picture]], truth: Callable[[], Picture]
    ) -> None:
        """Measure pictures against their common truth; the value of `name` is their mean.

        A picture that cannot be read is noted in `failed`.

        Raises:
            CaflowError: (exit 2) their sizes differ.
        """
        assert self._pairs is not None
        self._measure(self._pairs, name, images, truth)
        self._count(1 + len(images))

    def _measure(
        self,
        pairs: PairMetrics,
        name: str,
        images: Sequence[Callable[[], Picture]],
        truth: Callable[[], Picture],
    ) -> None:
        try:
            wanted = self._read(truth)
            pictures = [self._read(read) for read in images]
            for picture in pictures:
                if picture.shape != wanted.shape:
                    raise CaflowError(
                        f"{name!r} is {_size(picture)}, its reference {_size(wanted)}",
                        "--resize 256, or pictures of one size",
                        EXIT_USAGE,
                    )
            found = pairs(to_batch(pictures), to_batch([wanted] * len(pictures)))
        except CaflowError as error:
            if error.exit_code != EXIT_FAILED:
                raise
            self.failed.append(Failure(name, error))
            return
        for metric in found[0]:
            mean = sum(values[metric] for values in found) / len(found)
            self._columns.setdefault(metric, RunningMean()).add(mean)

    def no_features(self) -> SetFeatures:
        """An empty set of features, for `add_features`."""
        assert self._extractor is not None
        return SetFeatures(self._extractor.name, bool(set(KEEPING) & set(self._sets)))

    def add_features(
        self,
        features: SetFeatures,
        pictures: Mapping[str, Callable[[], Picture]],
        *,
        failures_are_known: bool,
    ) -> None:
        """Add the features of pictures.

        Args:
            features: The set to add to.
            pictures: How to read each, by name.
            failures_are_known: Pictures that cannot be read are already in `failed`, as members of
                a pair.

        Raises:
            CaflowError: (exit 2) the pictures of the set have different sizes.
        """
        assert self._extractor is not None
        batch: list[Picture] = []
        for name, read in pictures.items():
            try:
                picture = self._read(read)
            except CaflowError as error:
                if not failures_are_known:
                    self.failed.append(Failure(name, error))
                continue
            features.check_size(name, picture.shape)
            batch.append(picture)
            if len(batch) == _BATCH:
                features.add(self._extractor(to_batch(batch)))
                batch = []
            if not self.paired:
                self._count()
        if batch:
            features.add(self._extractor(to_batch(batch)))

    def conclude(
        self, form: str, images: int, features: tuple[SetFeatures, SetFeatures] | None
    ) -> Evaluation:
        """Finish the evaluation, and write the file of statistics if there is to be one.

        Args:
            form: "sets" or "lines".
            images: Number of pictures that were compared.
            features: Features of the generated pictures and of the reference, if needed.

        Raises:
            CaflowError: No picture could be measured, or the file cannot be written.
        """
        values = {name: column.estimate for name, column in self._columns.items()}
        result = Result("generated", values)
        labels = [name for name in self._metrics if name not in self._sets]
        notes = self._notes
        if features is not None and self._extractor is not None:
            generated, reference = features
            found, extra = distances(self._sets, self._extractor, generated, reference)
            result.values |= found
            result.extra |= extra
            labels += list(found)
            notes = [*notes, *cautions(features)]
            if self._save_stats is not None:
                reference.save(Path(self._save_stats))
        if not result.values:
            _, error = self.failed[0]
            raise CaflowError(f"no picture could be measured: {error.message}", error.hint)
        params = {"resize": self._resize, "metrics": self._metrics}
        return Evaluation(
            form, images, labels, [result], {"params": params}, failed=self.failed, notes=notes
        )

    def _read(self, read: Callable[[], Picture]) -> Picture:
        image, side = read(), self._resize
        if side is None or image.shape[:2] == (side, side):
            return image
        square = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
        return np.array(square)


def _size(image: Picture) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
