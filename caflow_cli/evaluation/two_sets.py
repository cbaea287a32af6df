"""The comparison of two sets: folders, zips, single pictures, or statistics."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from .comparison import Comparison
from .metrics.set_features import SetFeatures
from .metrics.weights import Weights
from .picture_sets import PictureSet, matched
from .progress import Progress
from .result import Evaluation

__all__ = ["compare"]


def compare(
    generated: str | Path,
    reference: str | Path,
    metrics: Sequence[str],
    *,
    resize: int | None = None,
    weights: Weights | None = None,
    save_stats: str | Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a set of pictures against another.

    A set is a folder (with its subfolders), a zip, one picture, or, for FID, an .npz of statistics.
    Pictures are paired by path without suffix and without the ending that our commands add. Where
    several belong to one truth, its value is their mean. Two single pictures are paired whatever
    their names.

    Args:
        metrics: Those of `METRICS` that need pairs or sets.
        resize: Side of the square that all pictures are first brought to, by Pillow BICUBIC.
        weights: Of LPIPS, FID and KID.
        save_stats: An .npz of the reference's features.
        progress: Called after each picture.

    Raises:
        CaflowError: There is nothing to compare, pictures lack their pair, sizes are mixed, or
            weights are missing. Single pictures that fail are in `failed`.
    """
    comparison = Comparison(metrics, resize, weights, save_stats)
    with ExitStack() as stack:
        opened = [comparison.open(stack, Path(path)) for path in (generated, reference)]
        pictures = [one for one in opened if isinstance(one, PictureSet)]
        pairs = matched(*pictures) if comparison.paired else {}
        images = len(pictures[0].readers) if pictures else 0
        comparison.start(progress, sum(len(one.readers) for one in pictures))
        if comparison.paired:
            made, true = pictures
            for name, results in pairs.items():
                readers = [made.readers[result] for result in results]
                comparison.measure_pair(", ".join(results), readers, true.readers[name])
        features = None
        if comparison.extracts:
            features = (_features(comparison, opened[0]), _features(comparison, opened[1]))
    return comparison.conclude("sets", images, features)


def _features(comparison: Comparison, opened: PictureSet | SetFeatures) -> SetFeatures:
    if isinstance(opened, SetFeatures):
        return opened
    features = comparison.no_features()
    comparison.add_features(features, opened.readers, failures_are_known=bool(comparison.paired))
    return features
