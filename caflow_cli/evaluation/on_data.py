"""A model on a data set: sample, measure, summarise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from ..data import Reader, Split, open_split
from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError
from ..inference.score import task_of
from ..model import CAFlow
from ..version import __version__
from .catalogue import METRICS, choose_metrics
from .draws import pictures_at_a_time
from .features import load_extractor
from .keep import RowLog, SavedImages
from .pairs import PairMetrics
from .plan import Plan, values
from .problems import Problem, pose
from .protocols import Protocol
from .report import ReportImages, write_report
from .result import Evaluation
from .rows import Measured, Measurer
from .run import Run
from .weights import Weights

__all__ = ["evaluate"]

Progress = Callable[[int, int], None]  # pictures done, and in all


def evaluate(
    model: CAFlow,
    data: str | Path,
    metrics: Sequence[str] | str = ("lpips", "rmse"),
    *,
    split: Split | None = None,
    limit: int | None = None,
    tau: float | Sequence[float] | None = None,
    candidates: int | Sequence[int] | None = None,
    keep: int | Sequence[int] = 1,
    seed: int = 0,
    noise_samples: int = 1,
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

    The N likeliest of M candidates are measured; their mean, where N > 1, is the picture's value.
    Beside them: the mean of all M, and the task's baseline, with paired standard errors. Several
    values of tau, candidates or keep are a sweep. Memory does not grow with the number of pictures
    (but by its log-likelihoods, 8 bytes each, where "likelihood" is asked for).

    Args:
        model: Any model; its task says what is made of the data's pictures.
        data: Folder or zip; for paired models with `A/` and `B/`.
        metrics: Names of `METRICS`, or "all".
        split: Default: `test/` where there is one, else everything.
        limit: The first so many pictures.
        tau, candidates, keep: Default: the model's, else the task's; 1.
        seed: Candidate k of picture r draws from seed + 1,000,003 r + k, modulo 2^32.
        noise_samples: K of all log-likelihoods.
        batch_size: Candidates at a time.
        weights: Of LPIPS, FID and KID.
        save_images: Folder for the kept candidates.
        report: Folder for the gallery, `index.html`.
        skip_existing: Go on with what an interrupted run left in `save_images` or `report`.
        save_stats: An .npz of the truths' features, for later runs.
        identity: Of the model, for the records.
        protocol: Whose published figures stand beside the results; its settings are the caller's.
        progress: Called after each picture.

    Raises:
        CaflowError: Arguments, data or weights. Pictures that fail alone are in `failed`.
    """
    weights = weights or Weights()
    run = _prepare(model, metrics, tau, candidates, keep, seed, noise_samples)
    run.plan.check()
    paired = not run.task.derives_condition
    with open_split(data, split, model.config.task.size, paired=paired) as source:
        count = len(source.names) if limit is None else min(limit, len(source.names))
        if count < 2 and run.plan.wants("sets"):
            raise CaflowError(
                "a distance of sets needs two pictures",
                "leave out fid and kid",
                EXIT_USAGE,
            )
        _check_names(source.names[:count], save_images)
        key = {
            "version": __version__,
            "data": str(data),
            "task": run.task.name,
            "model": identity,
            "split": source.split,
            "size": model.config.task.size,
            **run.plan.as_json(),
        }
        folder = save_images or report
        log = None if folder is None else RowLog(Path(folder), key, skip_existing)
        saved = None if save_images is None else SavedImages(Path(save_images), run.plan)
        gallery = None if report is None else ReportImages(Path(report), run.plan, skip_existing)
        pairs = PairMetrics(run.plan.metrics, weights.lpips, model.device)
        if run.plan.wants("sets") or save_stats is not None:
            run.extractor = load_extractor(
                weights.extractor,
                fid_weights=weights.fid,
                lpips_weights=weights.lpips,
                device=model.device,
            )
        measurer = Measurer(model, run.plan, pairs, batch_size)
        pace = pictures_at_a_time(model, run.plan.most, batch_size)
        for done, item in enumerate(
            _measure(run, source, count, pace, measurer, log, saved, gallery), 1
        ):
            if item is not None:
                run.summary.add(item.row)
                run.add_features(item, saved)
            if progress is not None:
                progress(done, count)
        names = source.names[:count]
    if not run.summary.count:
        _, error = run.failed[0]
        raise CaflowError(f"no picture could be measured: {error.message}", error.hint)
    if save_stats is not None:
        run.truths.save(Path(save_stats))
    result = run.evaluation(str(data), source.split, protocol)
    if report is not None and log is not None:
        write_report(Path(report), result, run.plan, log.rows(names), identity)
    return result


def _prepare(
    model: CAFlow,
    metrics: Sequence[str] | str,
    tau: float | Sequence[float] | None,
    candidates: int | Sequence[int] | None,
    keep: int | Sequence[int],
    seed: int,
    noise_samples: int,
) -> Run:
    task, defaults = task_of(model), model.config.task
    warmth = task.tau if defaults.tau is None else defaults.tau
    plan = Plan(
        taus=tuple(map(float, values(tau, warmth))),
        candidates=tuple(map(int, values(candidates, defaults.candidates or task.candidates))),
        keep=tuple(map(int, values(keep, 1))),
        metrics=tuple(choose_metrics([metrics] if isinstance(metrics, str) else metrics, METRICS)),
        seed=seed,
        noise_samples=noise_samples,
    )
    return Run(model, plan)


def _check_names(names: Sequence[str], save_images: str | Path | None) -> None:
    """CaflowError where two pictures would be saved as one."""
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
    run: Run,
    source: Reader,
    count: int,
    pace: int,
    measurer: Measurer,
    log: RowLog | None,
    saved: SavedImages | None,
    gallery: ReportImages | None,
) -> Iterator[Measured | None]:
    """Every picture in order, as it is measured or was in an earlier run; None: it failed."""

    def fail(problem_name: str, error: CaflowError) -> None:
        if error.exit_code != EXIT_FAILED:
            raise error
        run.failed.append((problem_name, error))

    def finished(problem: Problem) -> Measured | None:
        row = None if log is None else log.find(problem.name)
        if row is None or row["index"] != problem.index:
            return None
        whole = (saved is None or saved.has(problem.name)) and (
            gallery is None or gallery.has(problem.index)
        )
        if not whole or (run.plan.wants("sets") and saved is None):
            return None
        return Measured(problem, row, {})

    def flush(waiting: list[Problem]) -> Iterator[Measured | None]:
        try:
            found: list[Measured | None] = list(measurer(waiting))
        except CaflowError as error:
            if len(waiting) == 1:
                fail(waiting[0].name, error)
                yield None
                return
            for problem in waiting:  # one of them: all others count
                yield from flush([problem])
            return
        for measured in found:
            assert measured is not None
            if saved is not None:
                saved.put(measured)
            if gallery is not None:
                gallery.put(measured)
            if log is not None:
                log.add(measured.row)
            yield measured

    waiting: list[Problem] = []
    for index in range(count):
        name = source.names[index]
        problem: Problem | None = None
        try:
            problem = pose(run.task, source.read(index), index, name)
        except CaflowError as error:
            fail(name, error)
        earlier = None if problem is None else finished(problem)
        if problem is not None and earlier is None:
            waiting.append(problem)
            if len(waiting) < pace:
                continue
        yield from flush(waiting) if waiting else ()
        waiting = []
        if problem is None or earlier is not None:
            yield earlier
    if waiting:
        yield from flush(waiting)
