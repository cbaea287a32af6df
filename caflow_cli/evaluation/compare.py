"""Images against images: two sets, or the outputs that JSON lines name and a folder of truths."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ..data.examples import open_files
from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError
from ..images import SUFFIXES, read_image
from ..inference.score import to_batch
from ..paths import is_file, without_ending
from ..tasks import Picture
from ..tasks.base import resize
from .metrics import METRICS, Weights, choose_metrics
from .metrics.features import Extractor, load_networks
from .metrics.pairs import measurable
from .metrics.sets import SetFeatures, cautions, distances
from .result import Evaluation, Failure, Result, mean_of
from .run import Progress
from .settings import check_images

__all__ = ["COMPARED", "compare", "compare_lines"]

COMPARED = [name for name, metric in METRICS.items() if metric.needs in ("pairs", "sets")]
_BATCH = 32
_DEFAULT = Weights()
_Read = Callable[[], Picture]


def compare(
    generated: str | Path,
    reference: str | Path,
    metrics: str | Sequence[str] = (),
    *,
    resize: int | None = None,
    weights: Weights = _DEFAULT,
    save_stats: str | Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a set of images against another.

    A set is a folder (with its subfolders), a zip, one image, or, for FID, an .npz of statistics.
    Images are paired by path without suffix and without the ending that our commands add. Where
    several belong to one truth, its value is their mean. Two single images are paired whatever
    their names.

    Args:
        generated, reference: The sets.
        metrics: Those of `METRICS` that need pairs or sets. Default: rmse, and lpips, which is left
            out, with a note, if its network cannot be had.
        resize: Side of the square that all images are first brought to, by Pillow BICUBIC.
        weights: Of LPIPS, FID and KID.
        save_stats: An .npz of the reference's features.
        progress: Called after each image.

    Raises:
        CaflowError: There is nothing to compare, images lack their pair, sizes are mixed, or
            weights are missing. Single images that fail are in `failed`.
    """
    with ExitStack() as stack:
        run = _Run(metrics, resize, weights, save_stats)
        made, true = (run.open(stack, Path(path)) for path in (generated, reference))
        counts = [len(one) for one in (made, true) if not isinstance(one, SetFeatures)]
        run.start(progress, sum(counts))
        if not isinstance(made, SetFeatures) and not isinstance(true, SetFeatures) and run.paired:
            for name, results in _matched(made, true, str(generated), str(reference)).items():
                run.measure_pair(", ".join(results), [made[one] for one in results], true[name])
        return run.conclude("sets", counts[0] if counts else 0, made, true)


def compare_lines(
    lines: Iterable[str],
    reference: str | Path,
    metrics: str | Sequence[str] = (),
    *,
    resize: int | None = None,
    weights: Weights = _DEFAULT,
    save_stats: str | Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure the outputs that JSON lines of a restoring command name, against a folder.

    The truth of an output is the image in `reference` with the input's name, whatever its suffix
    and folder. If an input has several outputs, its value is their mean. Lines are read as they
    arrive.

    Args:
        lines: Records with `input`, `status` and `outputs`, each output with a `path`.
        reference, metrics, resize, weights, save_stats, progress: As for `compare`.

    Raises:
        CaflowError: As for `compare`; or a line is not from a restoring command (exit 2).
    """
    with ExitStack() as stack:
        run = _Run(metrics, resize, weights, save_stats)
        true = run.open(stack, Path(reference))
        known: dict[str, _Read] = {}
        if run.paired and not isinstance(true, SetFeatures):
            known = _by_stem(true, str(reference))
        run.start(progress, 0)
        made: dict[str, _Read] = {}
        images = 0
        for name, paths in _outputs(lines, run.failed):
            images += 1
            readers = {str(path): partial(read_image, path) for path in paths}
            stem = PurePosixPath(name.replace("\\", "/")).stem
            if run.paired and stem not in known:
                error = CaflowError(
                    f"{str(reference)!r} has no image {stem!r} for the input {name!r}",
                    "give the true images the names of the inputs, whatever the suffix",
                )
                run.failed.append(Failure(name, error))
                continue
            if run.paired:
                run.measure_pair(name, list(readers.values()), known[stem])
            made |= readers
        if not images:
            raise CaflowError(
                "stdin names no images", "caflow superres *.png -o out/ --json | caflow evaluate …"
            )
        return run.conclude("lines", images, made, true)


class _Run:
    """Measures pairs and takes features. Sets are opened before a network is loaded."""

    def __init__(
        self,
        metrics: str | Sequence[str],
        resize: int | None,
        weights: Weights,
        save_stats: str | Path | None,
    ) -> None:
        if resize is not None and not 1 <= resize <= 4096:
            raise CaflowError(f"--resize is {resize}", "--resize 256", EXIT_USAGE)
        self._given = [metrics] if isinstance(metrics, str) else list(metrics)
        self.metrics = choose_metrics(self._given, COMPARED, ("lpips", "rmse"))
        self.failed: list[Failure] = []
        self._resize, self._weights, self._save_stats = resize, weights, save_stats
        self._progress: Progress | None = None
        self._done = self._total = 0
        self._notes: list[str] = []
        self._values: dict[str, list[float]] = {}  # by metric of pairs
        self._extractor: Extractor | None = None

    @property
    def paired(self) -> bool:
        return any(METRICS[name].needs == "pairs" for name in self.metrics)

    def open(self, stack: ExitStack, path: Path) -> dict[str, _Read] | SetFeatures:
        """Open the images at a path, or their statistics.

        Raises:
            CaflowError: (exit 2) there is neither, or a metric needs images and there are only
                statistics.
        """
        if path.suffix.lower() != ".npz" or not is_file(path):
            return _open_images(stack, path, self.paired)
        if self.metrics != ["fid"]:
            raise CaflowError(
                f"{str(path)!r} holds statistics, which only FID reads", "--metric fid", EXIT_USAGE
            )
        return SetFeatures.load(path, self._weights.extractor)

    def start(self, progress: Progress | None, total: int) -> None:
        """Load the networks that the metrics need. CaflowError (exit 3) if weights are missing."""
        self._progress, self._total = progress, total
        if not self._given:
            self.metrics = measurable(self.metrics, self._weights, self._notes)
        sets = any(METRICS[name].needs == "sets" for name in self.metrics)
        self._measure, self._extractor = load_networks(
            self.metrics, self._weights, "cpu", sets or self._save_stats is not None
        )

    def measure_pair(self, name: str, images: Sequence[_Read], truth: _Read) -> None:
        """Measure images against their common truth; the value of `name` is their mean.

        An image that cannot be read is noted in `failed`.

        Raises:
            CaflowError: (exit 2) their sizes differ.
        """
        try:
            wanted, made = self._read(truth), [self._read(read) for read in images]
            for image in made:
                if image.shape != wanted.shape:
                    raise CaflowError(
                        f"{name!r} is {_size(image)}, its reference {_size(wanted)}",
                        "--resize 256, or images of one size",
                        EXIT_USAGE,
                    )
            found = self._measure(to_batch(made), to_batch([wanted] * len(made)))
        except CaflowError as error:
            if error.exit_code != EXIT_FAILED:
                raise
            self.failed.append(Failure(name, error))
        else:
            for metric in found[0]:
                mean = sum(values[metric] for values in found) / len(found)
                self._values.setdefault(metric, []).append(mean)
        self._count(1 + len(images))

    def conclude(
        self,
        form: str,
        images: int,
        made: Mapping[str, _Read] | SetFeatures,
        true: Mapping[str, _Read] | SetFeatures,
    ) -> Evaluation:
        """Compare the sets, if that is asked for, and finish.

        Raises:
            CaflowError: No image could be measured, sizes are mixed, or the file of statistics
                cannot be written.
        """
        result = Result("generated", {n: mean_of(column) for n, column in self._values.items()})
        sets = [name for name in self.metrics if METRICS[name].needs == "sets"]
        labels = [name for name in self.metrics if name not in sets]
        if self._extractor is not None:
            features = self._features(made, sets), self._features(true, sets)
            values, result.extra = distances(sets, self._extractor, *features)
            result.values |= values
            labels += values
            self._notes += cautions(features)
            if self._save_stats is not None:
                features[1].save(Path(self._save_stats))
        if not result.values:
            _, error = self.failed[0]
            raise CaflowError(f"no image could be measured: {error.message}", error.hint)
        about: dict[str, Any] = {"params": {"resize": self._resize, "metrics": self.metrics}}
        return Evaluation(
            form, images, labels, [result], about, failed=self.failed, notes=self._notes
        )

    def _features(
        self, images: Mapping[str, _Read] | SetFeatures, sets: Sequence[str]
    ) -> SetFeatures:
        if isinstance(images, SetFeatures):
            return images
        assert self._extractor is not None
        features, batch, size = SetFeatures(self._extractor.name, sets), [], ""
        for name, read in images.items():
            try:
                image = self._read(read)
            except CaflowError as error:
                if not self.paired:  # else it is there already, as a member of a pair
                    self.failed.append(Failure(name, error))
                continue
            if _size(image) != (size := size or _size(image)):
                raise CaflowError(
                    f"{name!r} is {_size(image)}, the images before it are {size}",
                    "--resize 256",
                    EXIT_USAGE,
                )
            batch.append(image)
            if len(batch) == _BATCH:
                features.add(self._extractor(to_batch(batch)))
                batch = []
            self._count(0 if self.paired else 1)
        if batch:
            features.add(self._extractor(to_batch(batch)))
        return features

    def _read(self, read: _Read) -> Picture:
        image, side = read(), self._resize
        if side is None or image.shape[:2] == (side, side):
            return image
        return resize(image, side, side)

    def _count(self, images: int) -> None:
        self._done += images
        if self._progress is not None and images:
            self._progress(self._done, self._total)


def _open_images(stack: ExitStack, path: Path, paired: bool) -> dict[str, _Read]:
    """How to read each image of a folder, a zip or one file, by its path without suffix.

    Nothing is decoded yet.

    Raises:
        CaflowError: (exit 2) there are no images, or, with `paired`, two have one name.
    """
    check_images(path)
    if is_file(path) and path.suffix.lower() in SUFFIXES:
        return {path.stem: partial(read_image, path)}
    files = stack.enter_context(open_files(path))
    readers: dict[str, _Read] = {}
    for member in sorted(files.members):
        name = str(PurePosixPath(member).with_suffix(""))
        if name in readers and paired:
            raise CaflowError(
                f"{str(path)!r} has two images {name!r} with different suffixes",
                "remove one of them",
                EXIT_USAGE,
            )
        readers[member if name in readers else name] = partial(_read_member, files.read, member)
    if not readers:
        raise CaflowError(
            f"no images in {str(path)!r}",
            f"give a folder or zip with {', '.join(sorted(SUFFIXES))} files",
            EXIT_USAGE,
        )
    return readers


def _read_member(read: Callable[[str], bytes], member: str) -> Picture:
    return read_image(io.BytesIO(read(member)), name=member)


def _matched(
    made: Mapping[str, _Read], true: Mapping[str, _Read], where_made: str, where_true: str
) -> dict[str, list[str]]:
    """The images of `made` that belong to each image of `true`, by name.

    A name belongs to its like, or to that of which a command made it: `sub/x_superres_01` belongs
    to `sub/x`. Two single images belong together, whatever their names.

    Raises:
        CaflowError: (exit 2) images are without their pair, or inputs lie among their results.
    """
    if len(made) == len(true) == 1:
        return {name: list(made) for name in true}
    found: dict[str, list[str]] = {name: [] for name in true}
    alone = []
    for name in sorted(made):
        path = PurePosixPath(name)
        stem = without_ending(path.name)
        source = name if name in found or stem is None else str(path.with_name(stem))
        if source in found:
            found[source].append(name)
        else:
            alone.append(f"{where_made}/{name}")
    for name, results in found.items():
        if name in results and len(results) > 1:
            raise CaflowError(
                f"{where_made!r} has {name!r} beside {results[-1]!r}, which was made from it",
                "give a folder of results alone, as -o DIR/ makes it",
                EXIT_USAGE,
            )
    alone += [f"{where_true}/{name}" for name in sorted(found) if not found[name]]
    if alone:
        more = f", and {len(alone) - 3} more" if len(alone) > 3 else ""
        raise CaflowError(
            f"{len(alone)} images without their pair: {', '.join(alone[:3])}{more}",
            "give both folders the same names, whatever the suffix, or --metric fid",
            EXIT_USAGE,
        )
    return found


def _by_stem(images: Mapping[str, _Read], where: str) -> dict[str, _Read]:
    """By name without folder. CaflowError (exit 2) if two names are the same."""
    result: dict[str, _Read] = {}
    for name, read in images.items():
        stem = PurePosixPath(name).name
        if stem in result:
            raise CaflowError(
                f"{where!r} has two images {stem!r}, and inputs are matched by name",
                "give one folder of them as --reference",
                EXIT_USAGE,
            )
        result[stem] = read
    return result


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
            else:
                paths = [Path(output["path"]) for output in record["outputs"]]
                reason = CaflowError("no file of it was written", "leave --skip-existing out")
        except (ValueError, KeyError, TypeError) as error:
            raise CaflowError(
                f"line {number} of stdin is not a record of a restoring command",
                "caflow superres *.png -o out/ --json | caflow evaluate --reference DIR",
                EXIT_USAGE,
            ) from error
        if record["status"] == "error" or not paths:  # or all were there, and were kept
            failed.append(Failure(name, reason))
        else:
            yield name, paths


def _size(image: Picture) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
