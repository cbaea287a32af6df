"""Images against images: two sets, or the outputs that JSON lines name and a folder of truths."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath

from ..data.examples import open_files
from ..errors import EXIT_FAILED, CaflowError, usage_error
from ..images import SUFFIXES, read_image
from ..inference import to_batch
from ..paths import is_file, without_ending
from ..tasks import Pixels
from ..tasks.base import resize as resized
from .metrics import METRICS, Weights, choose_metrics
from .metrics.features import load_networks
from .metrics.pairs import measurable
from .metrics.sets import SetFeatures, cautions, distances
from .result import Evaluation, Failure, Result, mean_of
from .run import Progress
from .settings import check_images

__all__ = ["compare", "compare_lines"]

_COMPARED = [name for name, metric in METRICS.items() if metric.needs in ("pairs", "sets")]
_BATCH = 32
_DEFAULT = Weights()
_Read = Callable[[], Pixels]
_Set = Mapping[str, _Read] | SetFeatures  # how to read each image, by name; or statistics alone


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
    run = _Comparison(metrics, resize, weights, save_stats, progress)
    with ExitStack() as stack:
        made, true = (run.open(stack, Path(path)) for path in (generated, reference))
        images = [one for one in (made, true) if not isinstance(one, SetFeatures)]
        pairs: dict[str, list[str]] = {}
        if run.paired:
            pairs = _matched(images[0], images[1], str(generated), str(reference))
        run.load_networks(sum(map(len, images)))
        for name, results in pairs.items():
            run.measure_pair(", ".join(results), [images[0][r] for r in results], images[1][name])
        return run.conclude("sets", len(images[0]) if images else 0, made, true)


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
    run = _Comparison(metrics, resize, weights, save_stats, progress)
    with ExitStack() as stack:
        true = run.open(stack, Path(reference))
        known: dict[str, _Read] = {}
        if run.paired and not isinstance(true, SetFeatures):
            known = {PurePosixPath(name).name: read for name, read in true.items()}
            [(name, count)] = Counter(PurePosixPath(name).name for name in true).most_common(1)
            if count > 1:
                raise usage_error(
                    f"{str(reference)!r} has two images {name!r}, and inputs are matched by name",
                    "give one folder of them as --reference",
                )
        run.load_networks(0)
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


class _Comparison:
    """Measures pairs and takes features. Sets are opened before a network is loaded."""

    def __init__(
        self,
        metrics: str | Sequence[str],
        resize: int | None,
        weights: Weights,
        save_stats: str | Path | None,
        progress: Progress | None,
    ) -> None:
        if resize is not None and not 1 <= resize <= 4096:
            raise usage_error(f"--resize is {resize}", "--resize 256")
        given = [metrics] if isinstance(metrics, str) else metrics
        self.metrics = choose_metrics(given, _COMPARED, ("lpips", "rmse"))
        self.failed: list[Failure] = []
        self._is_default, self._resize, self._weights = not given, resize, weights
        self._save_stats, self._progress = save_stats, progress
        self._notes: list[str] = []
        self._values: dict[str, list[float]] = {}  # by metric of pairs

    @property
    def paired(self) -> bool:
        return any(METRICS[name].needs == "pairs" for name in self.metrics)

    def open(self, stack: ExitStack, path: Path) -> _Set:
        """Open the images at a path, or their statistics. Nothing is decoded yet.

        Raises:
            CaflowError: (exit 2) there is neither, two images have one name, or a metric needs
                images and there are only statistics.
        """
        if path.suffix.lower() == ".npz" and is_file(path):
            if self.metrics == ["fid"]:
                return SetFeatures.load(path, self._weights.extractor)
            raise usage_error(
                f"{str(path)!r} holds statistics, which only FID reads", "--metric fid"
            )
        check_images(path)
        if is_file(path) and path.suffix.lower() in SUFFIXES:
            return {path.stem: partial(read_image, path)}
        files = stack.enter_context(open_files(path))
        readers: dict[str, _Read] = {}
        for member in sorted(files.members):
            name = str(PurePosixPath(member).with_suffix(""))
            if name in readers and self.paired:
                raise usage_error(
                    f"{str(path)!r} has two images {name!r} with different suffixes",
                    "remove one of them",
                )
            readers[member if name in readers else name] = partial(_read, files.read, member)
        if not readers:
            raise usage_error(
                f"no images in {str(path)!r}",
                f"give a folder or zip with {', '.join(sorted(SUFFIXES))} files",
            )
        return readers

    def load_networks(self, total: int) -> None:
        """Load what the metrics need. CaflowError (exit 3) if weights are missing.

        Args:
            total: How many images there are, for the progress; 0 if nobody knows.
        """
        self._done, self._total = 0, total
        if self._is_default:
            self.metrics = measurable(self.metrics, self._weights, self._notes)
        self._sets = [name for name in self.metrics if METRICS[name].needs == "sets"]
        needs_features = bool(self._sets) or self._save_stats is not None
        self._measure, self._extractor = load_networks(
            self.metrics, self._weights, "cpu", needs_features
        )

    def measure_pair(self, name: str, images: Sequence[_Read], truth: _Read) -> None:
        """Measure images against their common truth; the value of `name` is their mean.

        An image that cannot be read is noted in `failed`.

        Raises:
            CaflowError: (exit 2) their sizes differ.
        """
        try:
            wanted, made = self._load(truth), [self._load(read) for read in images]
            for image in made:
                if image.shape != wanted.shape:
                    raise usage_error(
                        f"{name!r} is {_size(image)}, its reference {_size(wanted)}",
                        "--resize 256, or images of one size",
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

    def conclude(self, form: str, images: int, made: _Set, true: _Set) -> Evaluation:
        """Compare the sets, if that is asked for, and finish.

        Raises:
            CaflowError: No image could be measured, sizes are mixed, or the file of statistics
                cannot be written.
        """
        result = Result("generated", {n: mean_of(column) for n, column in self._values.items()})
        labels = [name for name in self.metrics if name not in self._sets]
        if self._extractor is not None:
            features = self._features(made), self._features(true)
            values, result.extra = distances(self._sets, self._extractor, *features)
            result.values |= values
            labels += values
            self._notes += cautions(features)
            if self._save_stats is not None:
                features[1].save(Path(self._save_stats))
        if not result.values:
            error = self.failed[0].error
            raise CaflowError(f"no image could be measured: {error.message}", error.hint)
        return Evaluation(
            form=form,
            images=images,
            metrics=labels,
            results=[result],
            settings={"params": {"resize": self._resize, "metrics": self.metrics}},
            failed=self.failed,
            notes=self._notes,
        )

    def _features(self, images: _Set) -> SetFeatures:
        if isinstance(images, SetFeatures):
            return images
        assert self._extractor is not None
        features, batch, size = SetFeatures(self._extractor.name, self._sets), [], ""
        for name, read in images.items():
            try:
                image = self._load(read)
            except CaflowError as error:
                if not self.paired:  # else it is there already, as a member of a pair
                    self.failed.append(Failure(name, error))
                continue
            if _size(image) != (size := size or _size(image)):
                raise usage_error(
                    f"{name!r} is {_size(image)}, the images before it are {size}", "--resize 256"
                )
            batch.append(image)
            if len(batch) == _BATCH:
                features.add(self._extractor(to_batch(batch)))
                batch = []
            self._count(0 if self.paired else 1)
        if batch:
            features.add(self._extractor(to_batch(batch)))
        return features

    def _load(self, read: _Read) -> Pixels:
        image, side = read(), self._resize
        return image if side is None else resized(image, side, side)

    def _count(self, images: int) -> None:
        self._done += images
        if self._progress is not None and images:
            self._progress(self._done, self._total)


def _read(read: Callable[[str], bytes], member: str) -> Pixels:
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
            raise usage_error(
                f"{where_made!r} has {name!r} beside {results[-1]!r}, which was made from it",
                "give a folder of results alone, as -o DIR/ makes it",
            )
    alone += [f"{where_true}/{name}" for name in sorted(found) if not found[name]]
    if alone:
        more = f", and {len(alone) - 3} more" if len(alone) > 3 else ""
        raise usage_error(
            f"{len(alone)} images without their pair: {', '.join(alone[:3])}{more}",
            "give both folders the same names, whatever the suffix, or --metric fid",
        )
    return found


def _outputs(lines: Iterable[str], failed: list[Failure]) -> Iterator[tuple[str, list[Path]]]:
    """Yield input and output paths of each line. Inputs that failed go to `failed`."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        reason = CaflowError("no file of it was written", "leave --skip-existing out")
        try:
            record = json.loads(line)
            name, status = str(record["input"]), record["status"]
            if status not in ("ok", "error"):
                raise ValueError(status)
            paths = [Path(one["path"]) for one in record["outputs"]] if status == "ok" else []
            if status == "error":
                reason = CaflowError(str(record["error"]["message"]), str(record["error"]["hint"]))
        except (ValueError, KeyError, TypeError) as error:
            raise usage_error(
                f"line {number} of stdin is not a record of a restoring command",
                "caflow superres *.png -o out/ --json | caflow evaluate --reference DIR",
            ) from error
        if paths:
            yield name, paths
        else:
            failed.append(Failure(name, reason))


def _size(image: Pixels) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
