"""A model on a data set: sample, measure, summarise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ..data import Reader, Split, open_split
from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError
from ..inference.score import task_of
from ..model import CAFlow
from ..tasks import Task
from ..temperature import Tau
from .draws import pictures_at_a_time
from .findings import Findings
from .measure import Measured, Measurer
from .metrics.features import load_extractor
from .metrics.lpips import measurable
from .metrics.pairs import PairMetrics
from .metrics.weights import Weights
from .problems import Problem, pose
from .progress import Progress, ProgressCount
from .protocols import Protocol
from .report import ReportImages, write_report
from .result import Evaluation, Failure
from .resume import RowLog, RowOrigin, RunFiles
from .saved_images import SavedImages
from .settings import EvaluationSettings

__all__ = ["evaluate"]


def evaluate(
    model: CAFlow,
    data: str | Path,
    metrics: Sequence[str] | str = ("lpips", "rmse"),
    *,
    split: Split | None = None,
    limit: int | None = None,
    tau: Tau | Sequence[Tau] | None = None,
    candidates: int | Sequence[int] | None = None,
    keep: int | Sequence[int] = 1,
    seed: int = 0,
    noise_samples: int = 1,
    rank: str | Sequence[str] = "likelihood",
    batch_size: int | None = None,
    weights: Weights | None = None,
    save_images: str | Path | None = None,
    report: str | Path | None = None,
    skip_existing: bool = False,
    save_stats: str | Path | None = None,
    identity: dict[str, str] | None = None,
    protocol: Protocol | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Draw candidates for the pictures of a data set and measure them against the truth.

    The N likeliest (or best by `rank`) of M candidates are measured; their mean, where N > 1, is
    the picture's value. Beside them: the mean of all M, and the task's baseline, with paired
    standard errors. Several values of tau, candidates, keep or rank are a sweep. Memory does not
    grow with the number of pictures (but by its log-likelihoods, 8 bytes each, where "likelihood"
    is asked for).

    Args:
        model: Any model; its task derives inputs from the data's pictures.
        data: Folder or zip; for paired models with `A/` and `B/`.
        metrics: Names of `METRICS`, or "all".
        split: Default: `test/` where there is one, else everything.
        limit: The first so many pictures, at least one.
        tau, candidates, keep: Default: the model's, else the task's; 1. A temperature is a number,
            or a shape as text or `Temperature`; a sequence of them is a sweep.
        seed: Candidate k of picture r draws from seed + 1,000,003 r + k, modulo 2^32.
        noise_samples: K of all log-likelihoods.
        rank: The rule that chooses the N of the M, as for `restore`. Several are a sweep; beside
            every other rule stands its paired difference to likelihood's choice.
        batch_size: Candidates at a time.
        weights: Of LPIPS, FID and KID.
        save_images: Folder for the kept candidates.
        report: Folder for the gallery, `index.html`.
        skip_existing: Go on with what an interrupted run left in `save_images` or `report`.
        save_stats: An .npz of the truths' features, for later runs.
        identity: Identity of the model, for the records.
        protocol: Adds its published figures to the results. The caller applies its settings.
        progress: Called after each picture.

    Examples:
        >>> import caflow_cli as caflow
        >>> model = caflow.load("faces-superres-x4")
        >>> found = caflow.evaluate(model, "faces/", ["rmse"], tau=(0, 0.8), candidates=2)
        >>> sorted({str(result.cell.tau) for result in found.results if result.cell})
        ['0', '0.8']

    Raises:
        CaflowError: Arguments, data or weights cannot be used. Single pictures that fail are in
            `failed`.
    """
    weights = weights or Weights()
    task = task_of(model)
    settings = EvaluationSettings.resolve(
        model.config, metrics, tau, candidates, keep, seed, noise_samples, rank
    )
    if limit is not None and limit < 1:
        raise CaflowError(f"--limit is {limit}", "--limit 10", EXIT_USAGE)
    needs_features = bool(settings.wants("sets")) or save_stats is not None
    paired = not task.derives_condition
    size = model.config.task.size
    with open_split(data, split, size, paired=paired, limit=limit) as reader:
        names = reader.names[:limit]
        if len(names) < 2 and settings.wants("sets"):
            raise CaflowError(
                "a distance of sets needs two pictures",
                "leave out fid, kid and coverage",
                EXIT_USAGE,
            )
        _check_names(names, save_images)
        notes: list[str] = []
        settings = replace(settings, metrics=tuple(measurable(settings.metrics, weights, notes)))
        origin = RowOrigin(
            str(data), task.name, identity, reader.split, model.config.task.size, settings
        )
        folder = save_images or report
        files = RunFiles(
            None if folder is None else RowLog(Path(folder), origin, skip_existing),
            None if save_images is None else SavedImages(Path(save_images), settings),
            None if report is None else ReportImages(Path(report), settings, skip_existing),
        )
        pairs = PairMetrics(settings.metrics, weights.lpips, model.device)
        extractor = None
        if needs_features:
            extractor = load_extractor(
                weights.extractor,
                fid_weights=weights.fid,
                lpips_weights=weights.lpips,
                device=model.device,
            )
        findings = Findings(model, settings, extractor)
        examples = _Examples(
            task,
            reader,
            names,
            at_a_time=pictures_at_a_time(model, settings.most, batch_size),
            needs_images=bool(settings.wants("sets")),
        )
        measurer = Measurer(model, settings, pairs, batch_size)
        count = ProgressCount(progress, len(names))
        for measured in _measure(examples, measurer, files, findings.failed):
            if measured is not None:
                findings.add(measured, files.images)
            count()
    if not findings.summary.count:
        _, error = findings.failed[0]
        raise CaflowError(f"no picture could be measured: {error.message}", error.hint)
    if save_stats is not None and findings.features is not None:
        findings.features.truths.save(Path(save_stats))
    result = findings.evaluation(str(data), reader.split, protocol)
    result.notes[:0] = notes
    if report is not None and files.log is not None:
        write_report(Path(report), result, settings, files.log.rows(names), identity)
    return result


@dataclass(frozen=True, eq=False)
class _Examples:
    """The pictures to be measured, and how."""

    task: Task
    reader: Reader
    names: Sequence[str]
    at_a_time: int
    needs_images: bool  # of every picture's candidates, not its row alone


def _check_names(names: Sequence[str], save_images: str | Path | None) -> None:
    """CaflowError if two pictures would be saved under one name."""
    if save_images is None:
        return
    seen: dict[PurePosixPath, str] = {}
    for name in names:
        stem = PurePosixPath(name).with_suffix("")
        if stem in seen:
            raise CaflowError(
                f"{seen[stem]!r} and {name!r} would both be saved as {str(stem) + '.png'!r}",
                "rename one of them",
                EXIT_USAGE,
            )
        seen[stem] = name


def _measure(
    examples: _Examples, measurer: Measurer, files: RunFiles, failed: list[Failure]
) -> Iterator[Measured | None]:
    """Yield every picture in order, measured now or in an earlier run; None if it failed."""

    def fail(name: str, error: CaflowError) -> None:
        if error.exit_code != EXIT_FAILED:
            raise error
        failed.append(Failure(name, error))

    def flush(waiting: list[Problem]) -> Iterator[Measured | None]:
        try:
            found = measurer(waiting)
        except CaflowError as error:
            if len(waiting) == 1:
                fail(waiting[0].name, error)
                yield None
                return
            for problem in waiting:  # one of them: all others count
                yield from flush([problem])
            return
        for measured in found:
            files.add(measured)
            yield measured

    waiting: list[Problem] = []
    for index, name in enumerate(examples.names):
        problem: Problem | None = None
        try:
            problem = pose(examples.task, examples.reader.read(index), index, name)
        except CaflowError as error:
            fail(name, error)
        earlier = None if problem is None else files.find(problem, examples.needs_images)
        if problem is not None and earlier is None:
            waiting.append(problem)
            if len(waiting) < examples.at_a_time:
                continue
        yield from flush(waiting) if waiting else ()
        waiting = []
        if problem is None or earlier is not None:
            yield earlier
    if waiting:
        yield from flush(waiting)
