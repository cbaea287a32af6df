"""Pictures against pictures: two folders, and what every such comparison is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError
from ..inference.score import to_batch
from ..paths import is_file
from ..tasks import Picture
from .catalogue import METRICS
from .estimates import Running
from .features import Extractor, load_extractor
from .pairs import PairMetrics
from .result import Evaluation, Result
from .sets import SetFeatures, cautions, distances
from .sides import Pictures, common_names, open_side
from .weights import Weights

__all__ = [
    "Failures",
    "Progress",
    "Ticker",
    "Tools",
    "compare",
    "conclude",
    "extract",
    "measure_pairs",
]

_BATCH = 32
_STATS = ".npz"

Progress = Callable[[int, int], None]
Failures = list[tuple[str, CaflowError]]


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

    A side is a folder (searched through), a zip, one picture, or for FID an .npz of statistics.
    Pictures are paired by path without suffix; one picture with one picture, whatever their names.

    Args:
        metrics: Those of `METRICS` that need pairs or sets.
        resize: Side of the square that all pictures are first brought to, by Pillow BICUBIC.
        weights: Of LPIPS, FID and KID.
        save_stats: An .npz of the reference's features.
        progress: Called after each picture.

    Raises:
        CaflowError: Nothing to compare, pictures without their pair, mixed sizes, weights.
            Pictures that fail alone are in `failed`.
    """
    tools = Tools(metrics, weights, save_stats is not None)
    failed: Failures = []
    with ExitStack() as stack:
        sides = [tools.open(stack, Path(path)) for path in (generated, reference)]
        pictures = [side for side in sides if isinstance(side, Pictures)]
        names = common_names(*pictures) if tools.paired else []
        tools.load()
        total = sum(len(side.readers) for side in pictures)
        tick = Ticker(progress, total)
        columns: dict[str, Running] = {}
        images = len(pictures[0].readers) if pictures else 0
        if tools.pairs is not None:
            a, b = pictures
            made = ((name, [a.readers[name]], b.readers[name]) for name in names)
            columns = measure_pairs(made, tools.pairs, resize, failed, tick)
            images = len(names)
        stats: list[SetFeatures] = []
        if tools.extractor is not None:
            for side in sides:
                if isinstance(side, SetFeatures):
                    stats.append(side)
                else:
                    known = tools.failures(failed)
                    stats.append(extract(side.readers, tools, resize, known, tick, tools.side()))
    result = Result("generated", {name: column.estimate for name, column in columns.items()})
    return conclude("sets", result, images, tools, stats, failed, save_stats, resize)


class Tools:
    """What the metrics need. Sides are opened first: what is wrong with them needs no network."""

    def __init__(self, metrics: Sequence[str], weights: Weights | None, save_stats: bool) -> None:
        self.metrics = list(metrics)
        self.sets = [m for m in metrics if METRICS[m].needs == "sets"]
        self.paired = [m for m in metrics if METRICS[m].needs == "pairs"]
        self._weights = weights or Weights()
        self._extracts = bool(self.sets) or save_stats
        self.pairs: PairMetrics | None = None
        self.extractor: Extractor | None = None

    def load(self) -> None:
        weights = self._weights
        if self.paired:
            self.pairs = PairMetrics(self.paired, weights.lpips)
        if self._extracts:
            self.extractor = load_extractor(
                weights.extractor, fid_weights=weights.fid, lpips_weights=weights.lpips
            )

    def side(self) -> SetFeatures:
        assert self.extractor is not None
        return SetFeatures(self.extractor.name, "kid" in self.sets)

    def open(self, stack: ExitStack, path: Path) -> Pictures | SetFeatures:
        if path.suffix.lower() != _STATS or not is_file(path):
            return open_side(stack, path, paired=bool(self.paired))
        if self.metrics != ["fid"]:
            raise CaflowError(
                f"{str(path)!r} holds statistics, which only FID reads", "--metric fid", EXIT_USAGE
            )
        return SetFeatures.load(path, self._weights.extractor)

    def failures(self, failed: Failures) -> Failures:
        """Where the features' failures go: what failed as one of a pair is named once."""
        return [] if self.paired else failed


class Ticker:
    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self, count: int = 1) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


def measure_pairs(
    made: Iterable[tuple[str, Sequence[Callable[[], Picture]], Callable[[], Picture]]],
    pairs: PairMetrics,
    resize: int | None,
    failed: Failures,
    tick: Ticker,
) -> dict[str, Running]:
    """Each name's pictures against its truth; the mean of its pictures is its value."""
    columns: dict[str, Running] = {}
    for name, readers, truth in made:
        try:
            wanted = _read(truth, resize)
            images = [_read(read, resize) for read in readers]
            for image in images:
                if image.shape != wanted.shape:
                    raise CaflowError(
                        f"{name!r} is {_size(image)}, its reference {_size(wanted)}",
                        "--resize 256, or pictures of one size",
                        EXIT_USAGE,
                    )
            found = pairs(to_batch(images), to_batch([wanted] * len(images)))
        except CaflowError as error:
            if error.exit_code != EXIT_FAILED:
                raise
            failed.append((name, error))
        else:
            for key in found[0]:
                mean = sum(row[key] for row in found) / len(found)
                columns.setdefault(key, Running()).add(mean)
        tick(1 + len(readers))
    return columns


def extract(
    readers: dict[str, Callable[[], Picture]],
    tools: Tools,
    resize: int | None,
    failed: Failures,
    tick: Ticker,
    side: SetFeatures,
) -> SetFeatures:
    """Add the features of all pictures, which must be of one size."""
    assert tools.extractor is not None
    batch: list[Picture] = []
    for name, read in readers.items():
        try:
            image = _read(read, resize)
        except CaflowError as error:
            failed.append((name, error))
            continue
        side.check_size(name, image.shape)
        batch.append(image)
        if len(batch) == _BATCH:
            side.add(tools.extractor(to_batch(batch)))
            batch = []
        if not tools.paired:
            tick()
    if batch:
        side.add(tools.extractor(to_batch(batch)))
    return side


def _read(read: Callable[[], Picture], resize: int | None) -> Picture:
    image = read()
    if resize is None or image.shape[:2] == (resize, resize):
        return image
    square = Image.fromarray(image).resize((resize, resize), Image.Resampling.BICUBIC)
    return np.array(square)


def _size(image: Picture) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"


def conclude(
    form: str,
    result: Result,
    images: int,
    tools: Tools,
    stats: list[SetFeatures],
    failed: Failures,
    save_stats: str | Path | None,
    resize: int | None,
) -> Evaluation:
    labels = [m for m in tools.metrics if m not in tools.sets]
    notes = []
    if stats and tools.extractor is not None:
        generated, reference = stats
        values, extra = distances(tools.sets, tools.extractor, generated, reference)
        result.values |= values
        result.extra |= extra
        labels += list(values)
        notes = cautions(stats)
        if save_stats is not None:
            reference.save(Path(save_stats))
    if not result.values:
        _, error = failed[0]
        raise CaflowError(f"no picture could be measured: {error.message}", error.hint)
    params = {"resize": resize, "metrics": tools.metrics}
    return Evaluation(
        form, images, labels, [result], {"params": params}, failed=failed, notes=notes
    )
