"""Compare a set of images with a set of truths."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path, PurePosixPath
from typing import TypeAlias, TypeVar

from ..data.examples import decode, open_files
from ..data.files import read_file
from ..data.split import ImageFiles
from ..errors import EXIT_FAILED, CaflowError, check_usage
from ..images import SUFFIXES, Pixels, in_8_bits
from ..names import parse
from ..paths import exists, is_file
from ..restoration import to_batch
from .metrics import Weights, choose_metrics, needing
from .metrics.features import load_extractor
from .metrics.pairs import computable, measure_pairs
from .metrics.sets import few_images
from .outputs import SHEET
from .result import Evaluation, Failures, Result, check_measured
from .rows import Values
from .run import Progress
from .settings import LOG
from .summary import add_distances, estimates, means

_DEFAULT = Weights()
_Set: TypeAlias = Mapping[str, Callable[[], Pixels]]  # how to read each image, by name
_T = TypeVar("_T")


def compare(
    generated: str | Path,
    reference: str | Path,
    metrics: str | Sequence[str] = (),
    *,
    weights: Weights = _DEFAULT,
    progress: Progress = lambda done, total: None,
) -> Evaluation:
    """Measure a set of images against a reference set.

    Images are paired by path, without the suffix and the ending that our commands add. If several
    images belong to one truth, its value is their mean. Two single images are paired whatever their
    names.

    Args:
        generated: One image, or a set as for `open_files`.
        reference: The same.
        metrics: Names of `METRICS` that need pairs or sets. Default: rmse and lpips; the latter is
            omitted, with a note, if its network is not available.
        weights: The networks of LPIPS, FID and KID.
        progress: Called for each image.

    Raises:
        CaflowError: There is nothing to compare, images have no partner or another size, or no
            metric has its weights. `failed` and `missing` list other errors.
    """
    asked = choose_metrics(metrics, needing("pairs", "sets"))
    chosen, notes, missing = computable(asked, weights, asked=bool(metrics))
    paired, sets = (needing(need, among=chosen) for need in ("pairs", "sets"))
    failed: Failures = {}
    with ExitStack() as stack:
        made, true = (_open(stack, Path(path)) for path in (generated, reference))
        pairs = _matched(made, true) if paired else {}
        total = len(pairs) + (len(made) + len(true) if sets else 0)  # which are read once more
        done = count(1)

        def each(names: Iterable[str], of: Callable[[str], _T]) -> Iterator[_T]:
            """What `of` makes of each name; errors of images are added to `failed`."""
            for name in names:
                try:
                    yield of(name)
                except CaflowError as error:
                    if error.exit_code != EXIT_FAILED:
                        raise
                    failed[name] = error
                progress(next(done), total)

        def measured(name: str) -> Values:
            images = {of: made[of]() for of in pairs[name]}
            return _values(true[name](), images, paired, weights)

        result = Result("generated", estimates([*each(pairs, measured)]))
        if sets:
            extractor = load_extractor(weights)
            ours = [*each(made, lambda name: extractor.of(made[name]()))]
            theirs = [*each(true, lambda name: extractor.of(true[name]()))]
            add_distances(result, sets, extractor, ours, theirs)
            notes += few_images(min(len(ours), len(theirs)))
    check_measured(result.values, failed)
    return Evaluation(
        form="sets",
        images=len(made),
        metrics=[*result.values],
        results=[result],
        settings={"params": {"metrics": list(chosen)}},
        failed=failed,
        notes=notes,
        missing=missing,
    )


def _values(
    truth: Pixels, images: Mapping[str, Pixels], metrics: Collection[str], weights: Weights
) -> Values:
    """The means over the images, by name, that belong to a truth, in 8 bits unless all have 16."""
    height, width = truth.shape[:2]
    for name, image in images.items():
        h, w = image.shape[:2]
        check_usage(
            (h, w) == (height, width),
            f"{name!r} is {w}x{h}, its reference {width}x{height}",
            "give images of the same size",
        )
    every = [truth, *images.values()]
    if len({image.dtype for image in every}) > 1:
        every = [in_8_bits(image) for image in every]
    batch = to_batch(every[1:])
    return means(measure_pairs(metrics, batch, to_batch(every[:1] * len(images)), weights))


def _open(stack: ExitStack, path: Path) -> _Set:
    """Open the images at a path, without decoding them."""
    if is_file(path) and path.suffix.lower() in SUFFIXES:
        files = ImageFiles(str(path), [path.name], lambda _: read_file(path))
    else:
        files = stack.enter_context(open_files(path))
    images: dict[str, Callable[[], Pixels]] = {}
    for member in sorted(files.members):
        name = str(PurePosixPath(member).with_suffix(""))
        is_sheet = member == SHEET and exists(path / LOG)  # of `evaluate --save-images`
        if not parse(name).end and not is_sheet:
            images[member if name in images else name] = partial(decode, files, member, deep=True)
    check_usage(
        bool(images),
        f"no images in {str(path)!r}",
        f"give a folder or zip with {', '.join(sorted(SUFFIXES))} files",
    )
    return images


def _matched(made: Collection[str], true: Collection[str]) -> dict[str, list[str]]:
    """For each true image, by name, the names of `made` that belong to it.

    A name belongs to the same name, or to that of the input that a command made it from:
    `sub/x_superres_01` belongs to `sub/x`. Two single images are paired whatever their names.
    """
    if len(made) == len(true) == 1:
        return {name: [*made] for name in true}
    partners: dict[str, list[str]] = {name: [] for name in true}
    alone: list[str] = []
    for name in sorted(made):
        path = PurePosixPath(name)
        parsed = parse(path.name)
        is_other = parsed.is_result and name not in true
        source = str(path.with_name(parsed.source)) if is_other else name
        partners.get(source, alone).append(name)
    for name, results in partners.items():
        check_usage(
            name not in results[:-1],
            f"one set has both {name!r} and results that were made from it",
            "give a folder with results only, as -o DIR/ makes it",
        )
    alone += [name for name, results in partners.items() if not results]
    check_usage(
        not alone,
        f"{len(alone)} images have no match in the other set, such as {', '.join(alone[:3])}",
        "use the same names in both (suffixes may differ), or --metric fid",
    )
    return partners
