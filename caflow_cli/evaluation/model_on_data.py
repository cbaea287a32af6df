"""A model on a data set: sample, measure, summarise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from ..data import Reader, Split, open_split
from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError
from ..inference.candidates import requests_at_a_time
from ..inference.score import task_of
from ..model import CAFlow
from ..tasks import Task
from ..temperature import Tau
from .findings import Findings
from .measure import Measured, Measurer
from .metrics.features import load_extractor
from .metrics.lpips import measurable
from .metrics.pairs import PairMetrics
from .metrics.weights import Weights
from .picture_row import PictureRow
from .problems import Problem, pose_at, side_of
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
        split: Default: `test/` where there is one, else everything. What the set does not say is
            held out by the seed of the model's training, so that its training saw none of it.
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
    paired, side = not task.derives_condition, side_of(model.config.task)
    with open_split(data, split, side, paired=paired, seed=model.split_seed, limit=limit) as reader:
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
            str(data), task.name, identity, reader.split, reader.seed, side, settings
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
        findings = Findings(model, settings, extractor, side)
        examples = _Examples(
            task,
            reader,
            names,
            at_a_time=1
            if side is None
            else requests_at_a_time((side, side), settings.most, batch_size),
            needs_images=bool(settings.wants("sets")),
        )
        measurer = Measurer(model, settings, pairs, batch_size)
        count = ProgressCount(progress, len(names))
        for measured in _measure(examples, measurer, files, findings.failed):
            if measured is not None:
                findings.add(measured, files.images)
            count()
    if not findings.summary.count:
        reason = [error for _, error in findings.failed] or [CaflowError("there is none", "--data")]
        raise CaflowError(f"no picture could be measured: {reason[0].message}", reason[0].hint)
    if save_stats is not None and findings.features is not None:
        findings.features.truths.save(Path(save_stats))
    result = findings.evaluation(str(data), reader.split, reader.seed, protocol)
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

    def pose(self, index: int) -> Problem:
        """The problem of a picture. CaflowError if it cannot be read."""
        return pose_at(self.task, self.reader, index)


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

    def earlier(index: int) -> PictureRow | None:
        return files.find(index, examples.names[index], examples.needs_images)

    everyone = range(len(examples.names))
    finished = {index for index in everyone if earlier(index) is not None}
    left = [index for index in everyone if index not in finished]
    blocks = [
        left[first : first + examples.at_a_time]
        for first in range(0, len(left), examples.at_a_time)
    ]

    now = (one for block in blocks for one in _measured(examples, measurer, block))
    for index in everyone:
        one: Measured | Failure | None = None
        if index not in finished:
            one = next(now)
            if isinstance(one, Measured):
                files.put(one)
                files.add(one.row)
        elif (row := earlier(index)) is not None:
            try:
                one = Measured(examples.pose(index), row, {})
            except CaflowError as error:
                one = Failure(examples.names[index], error)
        if isinstance(one, Failure):
            if one.error.exit_code != EXIT_FAILED:
                raise one.error
            failed.append(one)
        yield one if isinstance(one, Measured) else None


def _measured(
    examples: _Examples, measurer: Measurer, indices: Sequence[int]
) -> list[Measured | Failure]:
    """Measure pictures together; one by one if one of them fails."""
    found: dict[int, Measured | Failure] = {}
    problems: list[Problem] = []
    for index in indices:
        try:
            problems.append(examples.pose(index))
        except CaflowError as error:
            found[index] = Failure(examples.names[index], error)
    try:
        measured = measurer(problems) if problems else []
    except CaflowError as error:
        if len(problems) == 1:
            found[problems[0].index] = Failure(problems[0].name, error)
        for problem in problems if len(problems) > 1 else ():
            found[problem.index], *_ = _measured(examples, measurer, [problem.index])
    else:
        found |= {one.problem.index: one for one in measured}
    return [found[index] for index in indices]
