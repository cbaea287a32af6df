"""Images against images: two sets, or the outputs that JSON lines name and a folder of truths."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeAlias

from ..data.examples import open_files
from ..data.split import ImageFiles
from ..errors import EXIT_FAILED, CaflowError, usage_error
from ..images import SUFFIXES, read_image
from ..inference import to_batch
from ..paths import is_file, without_ending
from ..tasks import Pixels
from ..tasks.base import resize as resized
from .metrics import METRICS, Weights, choose_metrics
from .metrics.features import Extractor, load_extractor
from .metrics.pairs import PairMetrics, measurable, pair_metrics
from .metrics.sets import SetFeatures, cautions, distances
from .result import Evaluation, Failure, Result, estimates
from .run import Progress

__all__ = ["compare"]

_COMPARED = [name for name, metric in METRICS.items() if metric.needs in ("pairs", "sets")]
_DEFAULT = Weights()
_Read: TypeAlias = Callable[[], Pixels]


class _Set(NamedTuple):
    images: dict[str, _Read]  # how to read each, by name
    statistics: Path | None = None  # in the place of images


class _Pair(NamedTuple):
    """Images that were made of one input, and the truth that they are compared with."""

    name: str
    made: list[_Read]
    true: _Read


def compare(
    generated: str | Path | Iterable[str],
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

    JSON lines of a restoring command stand for the outputs that they name. The truth of an output
    is the image in `reference` with the input's name, whatever its suffix and folder.

    Args:
        generated: A set; or the lines, records with `input`, `status` and `outputs`, each output
            with a `path`.
        reference: A set.
        metrics: Those of `METRICS` that need pairs or sets. Default: rmse, and lpips, which is left
            out, with a note, if its network cannot be had.
        resize: Side of the square that all images are first brought to, by Pillow BICUBIC.
        weights: Of LPIPS, FID and KID.
        save_stats: An .npz of the reference's features.
        progress: Called after each image.

    Raises:
        CaflowError: There is nothing to compare, images lack their pair, sizes are mixed, a line is
            not from a restoring command, or weights are missing. Single images that fail are in
            `failed`.
    """
    if resize is not None and not 1 <= resize <= 4096:
        raise usage_error(f"--resize is {resize}", "--resize 256")
    given = [metrics] if isinstance(metrics, str) else metrics
    chosen, failed, notes = choose_metrics(given, _COMPARED), list[Failure](), list[str]()
    paired = any(METRICS[name].needs == "pairs" for name in chosen)
    with ExitStack() as stack:
        sets = [generated, reference] if isinstance(generated, str | Path) else [reference]
        *others, true = [_open(stack, Path(one)) for one in sets]
        if isinstance(generated, str | Path):
            (made,) = others
            pairs = _matched(made, true, str(generated), str(reference)) if paired else []
            form, images = "sets", len(made.images) or len(true.images)
        else:
            made, pairs, images = _of_lines(generated, true, str(reference), paired, failed)
            form = "lines"
        if not given:
            chosen, notes = measurable(chosen, weights)
        labels = [name for name in chosen if METRICS[name].needs == "pairs"]
        measure = pair_metrics(chosen, weights)
        extractor = None
        if len(labels) < len(chosen) or save_stats is not None:
            extractor = load_extractor(weights)
        total = sum(1 + len(pair.made) for pair in pairs)
        total += 0 if extractor is None else len(made.images) + len(true.images)
        done = 0

        def load(read: _Read) -> Pixels:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, total)
            return read() if resize is None else resized(read(), resize, resize)

        rows = []
        for pair in pairs:
            try:
                rows.append(_measured(pair, load, measure))
            except CaflowError as error:
                if error.exit_code != EXIT_FAILED:
                    raise
                failed.append(Failure(pair.name, error))
        result = Result("generated", estimates(rows))
        if extractor is not None:
            # Of pairs, damaged images are noted already.
            damaged = [] if paired else failed
            features = [_features(one, extractor, chosen, load, damaged) for one in (made, true)]
            wanted = [name for name in chosen if name not in labels]
            values, result.extra = distances(wanted, extractor, *features)
            result.values |= values
            labels += values
            notes += cautions(features)
            if save_stats is not None:
                features[1].save(Path(save_stats))
    if not result.values:
        first = failed[0].error
        raise CaflowError(f"no image could be measured: {first.message}", first.hint)
    settings = {"params": {"resize": resize, "metrics": list(chosen)}}
    return Evaluation(form, images, labels, [result], settings, failed=failed, notes=notes)


def _open(stack: ExitStack, path: Path) -> _Set:
    """Open the images at a path, or their statistics; nothing is decoded yet."""
    if path.suffix.lower() == ".npz" and is_file(path):
        return _Set({}, path)
    if is_file(path) and path.suffix.lower() in SUFFIXES:
        return _Set({path.stem: partial(read_image, path)})
    files = stack.enter_context(open_files(path))
    images: dict[str, _Read] = {}
    for member in sorted(files.members):
        name = str(PurePosixPath(member).with_suffix(""))
        images[member if name in images else name] = partial(_read_member, files, member)
    if not images:
        raise usage_error(
            f"no images in {str(path)!r}",
            f"give a folder or zip with {', '.join(sorted(SUFFIXES))} files",
        )
    return _Set(images)


def _read_member(files: ImageFiles, member: str) -> Pixels:
    return read_image(io.BytesIO(files.read(member)), name=member)


def _matched(made: _Set, true: _Set, where_made: str, where_true: str) -> list[_Pair]:
    """The images of `made` that belong to each image of `true`, by name.

    A name belongs to its like, or to that of which a command made it: `sub/x_superres_01` belongs
    to `sub/x`. Two single images belong together, whatever their names.
    """
    found: dict[str, list[str]] = {name: [] for name in true.images}
    alone = []
    for name in sorted(made.images):
        path = PurePosixPath(name)
        stem = without_ending(path.name)
        source = name if name in found or stem is None else str(path.with_name(stem))
        if len(made.images) == len(found) == 1:
            (source,) = found
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
    return [
        _Pair(", ".join(results), [made.images[one] for one in results], true.images[name])
        for name, results in found.items()
    ]


def _of_lines(
    lines: Iterable[str], true: _Set, where: str, paired: bool, failed: list[Failure]
) -> tuple[_Set, list[_Pair], int]:
    """The outputs that lines name, their pairs, and the number of inputs that have outputs."""
    truths: dict[str, _Read] = {}
    for member, read in true.images.items() if paired else ():
        name = PurePosixPath(member).name
        if name in truths:
            raise usage_error(
                f"{where!r} has two images {name!r}, and inputs are matched by name",
                "give one folder of them as --reference",
            )
        truths[name] = read
    made: dict[str, _Read] = {}
    pairs, count = [], 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        error = CaflowError("no file of it was written", "leave --skip-existing out")
        try:
            record = json.loads(line)
            name, status = str(record["input"]), record["status"]
            paths = [Path(one["path"]) for one in record["outputs"]] if status == "ok" else []
            if status != "ok":
                error = CaflowError(str(record["error"]["message"]), str(record["error"]["hint"]))
        except (ValueError, KeyError, TypeError) as broken:
            raise usage_error(
                f"line {number} of stdin is not a record of a restoring command",
                "caflow superres *.png -o out/ --json | caflow evaluate --reference DIR",
            ) from broken
        count += len(paths) > 0
        readers = {str(path): partial(read_image, path) for path in paths}
        stem = PurePosixPath(name.replace("\\", "/")).stem
        if paths and paired and stem not in truths:
            error = CaflowError(
                f"{where!r} has no image {stem!r} for the input {name!r}",
                "give the true images the names of the inputs, whatever the suffix",
            )
        elif paths:
            made |= readers
            if paired:
                pairs.append(_Pair(name, list(readers.values()), truths[stem]))
            continue
        failed.append(Failure(name, error))
    if not count:
        raise CaflowError(
            "stdin names no images", "caflow superres *.png -o out/ --json | caflow evaluate …"
        )
    return _Set(made), pairs, count


def _measured(
    pair: _Pair, load: Callable[[_Read], Pixels], measure: PairMetrics
) -> dict[str, float]:
    """The metrics of a pair, means over its images. CaflowError (exit 2) if sizes differ."""
    true, made = load(pair.true), [load(read) for read in pair.made]
    for image in made:
        if image.shape != true.shape:
            raise usage_error(
                f"{pair.name!r} is {_size(image)}, its reference {_size(true)}",
                "--resize 256, or images of one size",
            )
    found = measure(to_batch(made), to_batch([true] * len(made)))
    return {name: sum(values[name] for values in found) / len(found) for name in found[0]}


def _features(
    images: _Set,
    extractor: Extractor,
    metrics: Sequence[str],
    load: Callable[[_Read], Pixels],
    damaged: list[Failure],
) -> SetFeatures:
    """The features of images of one size, without those that are damaged; or their statistics."""
    if images.statistics is not None:
        return SetFeatures.load(images.statistics, extractor.name)
    features, size = SetFeatures(extractor.name, metrics), ""
    for name, read in images.images.items():
        try:
            image = load(read)
        except CaflowError as error:
            damaged.append(Failure(name, error))
            continue
        if _size(image) != (size := size or _size(image)):
            raise usage_error(
                f"{name!r} is {_size(image)}, the images before it are {size}", "--resize 256"
            )
        features.add(extractor(to_batch([image])))
    return features


def _size(image: Pixels) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
