"""Compare images with images: two sets, or outputs named in JSON lines with a set of truths."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import torch
from torch import Tensor

from ..data.examples import decode, open_files
from ..errors import EXIT_FAILED, CaflowError, check_usage, ensure, usage_error
from ..images import SUFFIXES, Pixels, decode as decode_image, in_8_bits
from ..names import parse
from ..paths import exists, is_file
from ..restoration import to_batch
from .metrics import Weights, choose_metrics, needing
from .metrics.features import Extractor, load_extractor
from .metrics.pairs import computable, measure_pairs
from .metrics.sets import few_images
from .outputs import SHEET
from .result import Evaluation, Failures, Result
from .rows import Values
from .run import Progress
from .settings import LOG
from .summary import add_distances, estimates, means

_DEFAULT = Weights()
_Set: TypeAlias = dict[str, Callable[[], Pixels]]  # how to read each image, by name
_Partners: TypeAlias = dict[str, list[str]]  # names of results by that of their truth


@dataclass(frozen=True)
class _Found:
    """Two sets of images, and which of them belong together."""

    form: str  # "sets", or "lines" if JSON lines name the outputs
    count: int  # of the images or lines that were given
    made: _Set
    true: _Set
    pairs: _Partners  # of `made` and `true`; empty if none is paired


def compare(
    generated: str | Path | Iterable[str],
    reference: str | Path,
    metrics: str | Sequence[str] = (),
    *,
    recursive: bool = False,
    weights: Weights = _DEFAULT,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Measure a set of images against a reference set.

    A set is a folder, a zip or one image. Images are paired by path, without the suffix and the
    ending that our commands add. If several images belong to one truth, its value is their mean.
    Two single images are paired whatever their names.

    JSON lines of a restoring command stand for the outputs that they name; each belongs to the true
    image with the name of its input, whatever the suffix and folder.

    Args:
        generated: A set, or JSON lines.
        reference: A set.
        metrics: Names of `METRICS` that need pairs or sets. Default: rmse and lpips; the latter is
            omitted, with a note, if its network is not available.
        recursive: Include the images in subfolders.
        weights: The networks of LPIPS, FID and KID.
        progress: Called for each image.

    Raises:
        CaflowError: There is nothing to compare, images have no partner or another size, a line is
            not of a restoring command, or no metric has its weights. `failed` and `missing` list
            other errors.
    """
    asked = choose_metrics(metrics, needing("pairs", "sets"))
    chosen, notes, missing = computable(asked, weights, asked=bool(metrics))
    paired = needing("pairs", among=chosen)
    sets = needing("sets", among=chosen)
    failed: Failures = {}
    with ExitStack() as stack:
        found = _found(stack, generated, reference, recursive, bool(paired), notes, failed)
        extractor = load_extractor(weights) if sets else None
        steps = count(1)
        total = len(found.pairs)
        if sets:  # which read each image once more
            total += len(found.made) + len(found.true)

        def tell() -> None:
            progress(next(steps), total)

        result = Result("generated", estimates(_rows(found, paired, weights, failed, tell)))
        if extractor is not None:
            notes += _add_sets(result, sets, found, extractor, failed, tell)
    if not result.values:
        first = next(iter(failed.values()))
        raise CaflowError(f"no image could be measured: {first.message}", first.hint)
    return Evaluation(
        form=found.form,
        images=found.count,
        metrics=[*result.values],
        results=[result],
        settings={"params": {"metrics": list(chosen)}},
        failed=failed,
        notes=notes,
        missing=missing,
    )


def _add_sets(
    result: Result,
    metrics: Sequence[str],
    found: _Found,
    extractor: Extractor,
    failed: Failures,
    tell: Callable[[], None],
) -> list[str]:
    """Add the metrics of the two sets, and return notes. Images that fail are added to `failed`."""
    unread = {} if found.pairs else failed  # pairs report it themselves
    ours = _features(found.made, extractor, unread, tell)
    theirs = _features(found.true, extractor, unread, tell)
    add_distances(result, metrics, extractor, ours, theirs)
    return few_images(min(len(ours), len(theirs)))


def _found(
    stack: ExitStack,
    generated: str | Path | Iterable[str],
    reference: str | Path,
    recursive: bool,
    paired: bool,
    notes: list[str],
    failed: Failures,
) -> _Found:
    """Find the images, and pair them if a metric needs that; add to `notes` and `failed`."""
    true = _open(stack, Path(reference), recursive, notes)
    if isinstance(generated, str | Path):
        made = _open(stack, Path(generated), recursive, notes)
        pairs = _matched(made, true, str(generated), str(reference)) if paired else {}
        return _Found("sets", len(made), made, true, pairs)
    truths = _by_file_name(true, str(reference)) if paired else None
    made, pairs, lines = _read_lines(generated, truths, failed)
    return _Found("lines", lines, made, true, pairs)


def _rows(
    found: _Found,
    metrics: Sequence[str],
    weights: Weights,
    failed: Failures,
    tell: Callable[[], None],
) -> list[Values]:
    """The values of each truth that has images. Those that fail are added to `failed`."""
    rows = []
    for name, results in found.pairs.items():
        with _noted(", ".join(results), failed):
            images = {result: found.made[result]() for result in results}
            truth = found.true[name]()
            rows.append(_values(truth, images, metrics, weights))
        tell()
    return rows


def _values(
    truth: Pixels,
    images: dict[str, Pixels],
    metrics: Sequence[str],
    weights: Weights,
) -> Values:
    """The means over the images, by name, that belong to a truth, in 8 bits unless all have 16."""
    height, width = truth.shape[:2]
    if any(image.dtype != truth.dtype for image in images.values()):
        truth = in_8_bits(truth)
        images = {name: in_8_bits(image) for name, image in images.items()}
    for name, image in images.items():
        h, w = image.shape[:2]
        check_usage(
            (h, w) == (height, width),
            f"{name!r} is {w}x{h}, its reference {width}x{height}",
            "give images of the same size",
        )
    batch = to_batch([*images.values()])
    truths = to_batch([truth] * len(images))
    return means(measure_pairs(metrics, batch, truths, weights))


def _features(
    images: _Set,
    extractor: Extractor,
    failed: Failures,
    tell: Callable[[], None],
) -> Tensor:
    """The features of a set. Images that fail are added to `failed`."""
    features = []
    for name, read in images.items():
        with _noted(name, failed):
            features.append(extractor(to_batch([in_8_bits(read())])))
        tell()
    return torch.cat(features) if features else torch.zeros(0, 1)


@contextmanager
def _noted(name: str, failed: Failures) -> Iterator[None]:
    """Add the error of an image to `failed`; errors of usage or weights are raised."""
    try:
        yield
    except CaflowError as error:
        if error.exit_code != EXIT_FAILED:
            raise
        failed[name] = error


def _open(
    stack: ExitStack,
    path: Path,
    recursive: bool,
    notes: list[str],
) -> _Set:
    """Open the images at a path, without decoding them."""
    if is_file(path) and path.suffix.lower() in SUFFIXES:
        return {path.stem: partial(_read, path)}
    files = stack.enter_context(open_files(path))
    members = sorted(files.members)
    if not recursive and not is_file(path):
        members = [member for member in members if "/" not in member]
    left_out = len(files.members) - len(members)
    if exists(path / LOG):  # the folder of `evaluate --save-images`
        members = [member for member in members if member != SHEET]
    if left_out:
        notes.append(f"{path}: images in subfolders left out: {left_out} (see -r)")
    images: _Set = {}
    for member in members:
        name = str(PurePosixPath(member).with_suffix(""))
        if not parse(name).end:
            name = member if name in images else name
            images[name] = partial(decode, files, member, deep=True)
    check_usage(
        bool(images),
        f"no images in {str(path)!r}",
        f"give a folder or zip with {', '.join(sorted(SUFFIXES))} files, or -r",
    )
    return images


def _read(path: Path) -> Pixels:
    return decode_image(path).image.converted(None).rounded(16).values


def _matched(
    made: _Set,
    true: _Set,
    where_made: str,
    where_true: str,
) -> _Partners:
    """For each image of `true`, by name, the images of `made` that belong to it.

    A name belongs to the same name, or to that of the input that a command made it from:
    `sub/x_superres_01` belongs to `sub/x`. Two single images are paired whatever their names.
    """
    if len(made) == len(true) == 1:
        return {name: list(made) for name in true}
    partners: _Partners = {name: [] for name in true}
    alone: list[str] = []
    for name in sorted(made):
        path = PurePosixPath(name)
        parsed = parse(path.name)
        source = name
        if name not in partners and parsed.is_result:
            source = str(path.with_name(parsed.source))
        if source in partners:
            partners[source].append(name)
        else:
            alone.append(f"{where_made}/{name}")
    for name, results in partners.items():
        check_usage(
            name not in results[:-1],
            f"{where_made!r} has both {name!r} and results that were made from it",
            "give a folder with results only, as -o DIR/ makes it",
        )
    without = [name for name in sorted(partners) if not partners[name]]
    alone += [f"{where_true}/{name}" for name in without]
    more = ", ..." if len(alone) > 3 else ""
    check_usage(
        not alone,
        f"{len(alone)} images without a match: {', '.join(alone[:3])}{more}",
        "use the same names in both folders (suffixes may differ), or --metric fid",
    )
    return partners


def _by_file_name(true: _Set, where: str) -> dict[str, str]:
    """The names of images by those without their folders."""
    names = {PurePosixPath(name).name: name for name in true}
    check_usage(
        len(names) == len(true),
        f"{where!r} has several images of the same name, but inputs are matched by name",
        "give only one of its folders as --reference",
    )
    return names


def _read_lines(
    lines: Iterable[str],
    truths: dict[str, str] | None,
    failed: Failures,
) -> tuple[_Set, _Partners, int]:
    """Read JSON lines: the outputs, those that belong to each truth, and the number of lines.

    `truths` are the names of true images by file name, or None if nothing is paired. Inputs without
    outputs, and those without a truth, are added to `failed`.
    """
    command = "caflow superres *.png -o out/ --json | caflow evaluate --reference DIR"
    made: _Set = {}
    pairs: _Partners = {}
    number = 0
    try:
        for line in lines:
            number += 1
            record = json.loads(line)
            source = str(record["input"])
            stem = PurePosixPath(source.replace("\\", "/")).stem
            outputs = record.get("outputs") or ()
            paths = [str(output["path"]) for output in outputs]
            for path in paths:
                made[path] = partial(_read, Path(path))
            if not paths:
                error = record.get("error") or {}
                message = str(error.get("message", "no file was written"))
                hint = str(error.get("hint", command))
                failed[source] = CaflowError(message, hint)
            elif truths is not None and stem in truths:
                pairs.setdefault(truths[stem], []).extend(paths)
            elif truths is not None:
                failed[source] = CaflowError(
                    f"there is no true image {stem!r} for the input {source!r}",
                    "give the true images the names of the inputs",
                )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise usage_error(  # also if it is not UTF-8, such as an image
            f"line {number or 1} of stdin is not a record of a restoring command", command
        ) from error
    ensure(number > 0, "stdin names no images", command)
    return made, pairs, number
