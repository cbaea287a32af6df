"""The outputs of a restoring command, as JSON lines, against a folder of truths."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath

from ..errors import EXIT_USAGE, CaflowError
from .comparison import Failures, Progress, Ticker, Tools, conclude, extract, measure_pairs
from .estimates import Running
from .result import Evaluation, Result
from .sets import SetFeatures
from .sides import Pictures, by_stem, file_reader
from .weights import Weights

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
    """Measure the outputs of JSON lines, as restoring commands write them, against a folder.

    The truth of an output is the picture of `reference` with the input's name, whatever the suffix
    and folder. With several outputs a picture its value is their mean. Lines are read as they come.

    Args:
        lines: With `input`, `status` and `outputs`, each with a `path`.
        reference, metrics, resize, weights, save_stats, progress: As for `compare`.

    Raises:
        CaflowError: As `compare`; a line that is none of ours (exit 2).
    """
    tools = Tools(metrics, weights, save_stats is not None)
    failed: Failures = []
    tick = Ticker(progress, 0)
    with ExitStack() as stack:
        truths = tools.open(stack, Path(reference))
        known = by_stem(truths) if isinstance(truths, Pictures) else {}
        tools.load()
        side = None if tools.extractor is None else tools.side()
        columns: dict[str, Running] = {}
        images = 0
        for name, paths in _outputs(lines, failed):
            images += 1
            readers = [file_reader(path) for path in paths]
            if tools.pairs is not None:
                stem = PurePosixPath(name.replace("\\", "/")).stem
                if stem not in known:
                    failed.append((name, _no_truth(name, str(reference))))
                    continue
                made = [(name, readers, known[stem])]
                for key, column in measure_pairs(made, tools.pairs, resize, failed, tick).items():
                    columns.setdefault(key, Running()).add(column.estimate.mean)
            if side is not None and tools.extractor is not None:
                named = dict(zip(map(str, paths), readers, strict=True))
                extract(named, tools, resize, tools.failures(failed), tick, side)
        if not images:
            raise CaflowError(
                "no pictures came in", "caflow superres *.png -o out/ --json | caflow evaluate …"
            )
        stats: list[SetFeatures] = []
        if side is not None:
            stats = [
                side,
                truths
                if isinstance(truths, SetFeatures)
                else extract(truths.readers, tools, resize, failed, tick, tools.side()),
            ]
    result = Result("generated", {name: column.estimate for name, column in columns.items()})
    return conclude("lines", result, images, tools, stats, failed, save_stats, resize)


def _outputs(lines: Iterable[str], failed: Failures) -> Iterator[tuple[str, list[Path]]]:
    """Input and output paths of each line; inputs that failed go to `failed`."""
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
                failed.append((name, CaflowError(str(error["message"]), str(error["hint"]))))
                continue
            paths = [Path(output["path"]) for output in record["outputs"]]
            if not paths:
                raise KeyError("outputs")
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
