"""The comparison of outputs, which JSON lines name, with a folder of truths."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from ..errors import EXIT_USAGE, CaflowError
from .comparison import Comparison
from .metrics.set_features import SetFeatures
from .metrics.weights import Weights
from .picture_sets import PictureSet, by_stem, file_reader
from .progress import Progress
from .result import Evaluation, Failure

__all__ = ["compare_lines"]


def compare_lines(
    lines: Iterable[str],
    reference: str | Path,
    metrics: Sequence[str],
    *,
    resize: int | None = None,
    weights: Weights | None = None,
    save_stats: str | Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure the outputs that JSON lines of a restoring command name, against a folder.

    The truth of an output is the picture in `reference` with the input's name, whatever its suffix
    and folder. If an input has several outputs, its value is their mean. Lines are read as they
    arrive.

    Args:
        lines: Records with `input`, `status` and `outputs`, each output with a `path`.
        reference, metrics, resize, weights, save_stats, progress: As for `compare`.

    Raises:
        CaflowError: As for `compare`; or a line is not from a restoring command (exit 2).
    """
    comparison = Comparison(metrics, resize, weights, save_stats)
    with ExitStack() as stack:
        truths = comparison.open(stack, Path(reference))
        known = by_stem(truths) if isinstance(truths, PictureSet) else {}
        comparison.start(progress, 0)
        made = comparison.no_features() if comparison.extracts else None
        images = 0
        for name, paths in _outputs(lines, comparison.failed):
            images += 1
            readers = [file_reader(path) for path in paths]
            if comparison.paired:
                stem = PurePosixPath(name.replace("\\", "/")).stem
                if stem not in known:
                    comparison.failed.append(Failure(name, _no_truth(name, str(reference))))
                    continue
                comparison.measure_pair(name, readers, known[stem])
            if made is not None:
                named = dict(zip(map(str, paths), readers, strict=True))
                comparison.add_features(made, named, failures_are_known=bool(comparison.paired))
        if not images:
            raise CaflowError(
                "stdin names no pictures",
                "caflow superres *.png -o out/ --json | caflow evaluate …",
            )
        features = None
        if made is not None:
            features = (made, _reference_features(comparison, truths))
    return comparison.conclude("lines", images, features)


def _reference_features(comparison: Comparison, truths: PictureSet | SetFeatures) -> SetFeatures:
    if isinstance(truths, SetFeatures):
        return truths
    features = comparison.no_features()
    comparison.add_features(features, truths.readers, failures_are_known=False)
    return features


def _outputs(lines: Iterable[str], failed: list[Failure]) -> Iterator[tuple[str, list[Path]]]:
    """Yield input and output paths of each line. Inputs that failed go to `failed`."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            name = str(record["input"])
            if record["status"] not in ("ok", "error"):
                raise ValueError(record["status"])
            if record["status"] == "error":
                error = record["error"]
                reason = CaflowError(str(error["message"]), str(error["hint"]))
                failed.append(Failure(name, reason))
                continue
            paths = [Path(output["path"]) for output in record["outputs"]]
            if not paths:  # all were there, and were kept
                reason = CaflowError("no file of it was written", "leave --skip-existing out")
                failed.append(Failure(name, reason))
                continue
        except (ValueError, KeyError, TypeError) as error:
            raise CaflowError(
                f"line {number} of stdin is not a record of a restoring command",
                "caflow superres *.png -o out/ --json | caflow evaluate --reference DIR",
                EXIT_USAGE,
            ) from error
        yield name, paths


def _no_truth(name: str, reference: str) -> CaflowError:
    stem = PurePosixPath(name.replace("\\", "/")).stem
    return CaflowError(
        f"{reference!r} has no picture {stem!r} for the input {name!r}",
        "give the true pictures the names of the inputs, whatever the suffix",
    )
