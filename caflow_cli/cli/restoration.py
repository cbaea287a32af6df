"""What `superres`, `colorize`, `inpaint` and `sample` do: the same, for another task."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError
from .console import Console
from .options import Restoration

if TYPE_CHECKING:
    from ..images import Decoded
    from ..inference import Candidates
    from ..tasks.base import Picture
    from .inputs import Source
    from .plan import Job, Plan
    from .session import LoadedModel
    from .sheets import Sheet

__all__ = ["restore_pictures"]


def restore_pictures(
    command: str,
    inputs: Sequence[str],
    given: Restoration,
    mask: str | None = None,
    *,
    consistent: bool = False,
) -> None:
    """Restore every input, one after the other, and report each as it is done.

    Args:
        command: Its name, which is the task's, and in the names of outputs; "sample": any task.
        inputs: As typed.
        given: The options.
        mask: As typed.
        consistent: superres: project candidates to what shrinks to the input.

    Raises:
        CaflowError: Usage (2) or weights (3), before any picture is read.
        typer.Exit: (1) some input failed; the others are done.
    """
    console = Console(given.quiet, given.verbose)
    _check_usage(given)

    from .masks import plan_masks
    from .plan import plan
    from .sheets import Sheet

    if command == "inpaint" and mask is None:
        raise CaflowError("inpaint needs a mask", "--mask FILE, white = fill", EXIT_USAGE)
    planned = plan(
        inputs,
        label=command,
        output=given.output,
        mask=mask,
        keep=given.keep,
        **given.files,
    )
    masks = plan_masks(mask, [job.source for job in planned.jobs])
    for read in {one.path for one in masks if one is not None and one.path is not None}:
        planned.claims.protect(read)
    grid, uncertainty = (
        Sheet(
            f"--{name}",
            file,
            len(planned.jobs),
            planned.claims,
            planned.overwrite,
            planned.skip_existing,
        )
        for name, file in (("grid", given.grid), ("uncertainty", given.uncertainty))
    )
    for note in planned.notes:
        console.note(note)
    sheets = [sheet for sheet in (grid, uncertainty) if sheet.path is not None]
    if given.dry_run or (not sheets and all(job.skipped for job in planned.jobs)):
        _list_outputs(command, planned.jobs, masks, given, console)
        return

    from ..devices import check_compiler, select_device
    from .memory import memory_errors
    from .session import load_model

    if given.compile:
        check_compiler(select_device(given.device))

    task = None if command == "sample" else command
    loaded = load_model(given.model, given.device, console, task, default="paired")
    if given.compile:
        loaded.model.compile_inference()
    _check_mask(loaded, mask)
    _check_candidates(loaded, given)
    sampling = {**given.sampling, **({"consistent": True} if consistent else {})}
    smaller = "crop the picture" if given.batch_size == 1 else "--batch-size 1"
    failed = False
    with console.progress("{task.completed}/{task.total}", results=True) as progress:
        bar = progress.add_task(command, total=len(planned.jobs))
        for job, job_mask in zip(planned.jobs, masks, strict=True):
            run = _Run(command, planned, job, job_mask, loaded, given, sampling, console)
            try:
                with memory_errors(smaller):
                    run.restore(grid, uncertainty)
            except CaflowError as error:
                if error.exit_code != EXIT_FAILED:
                    raise
                failed = True
                run.report_failure(error)
            progress.advance(bar)
    for sheet in sheets:
        if path := sheet.write():
            console.note(f"wrote {path}")
    if failed:
        raise typer.Exit(EXIT_FAILED)


class _Run:
    """One input on its way."""

    def __init__(
        self,
        command: str,
        planned: Plan,
        job: Job,
        mask: Source | None,
        loaded: LoadedModel,
        given: Restoration,
        sampling: dict[str, Any],
        console: Console,
    ) -> None:
        self.command, self.planned, self.job, self.mask = command, planned, job, mask
        self.loaded, self.given, self.console = loaded, given, console
        self.sampling = sampling
        self.names = _names(job, mask)

    def restore(self, grid: Sheet, uncertainty: Sheet) -> None:
        """Read, sample, write and report. CaflowError where any of it fails.

        What is to be skipped is drawn again where a sheet lacks it, and not written.
        """
        from ..inference import restore
        from ..inference.charts import spread_chart
        from ..inference.grid import grid_row
        from .masks import read_mask
        from .records import restoration_record
        from .transparency import as_seen

        if self.job.skipped and grid.path is None and uncertainty.path is None:
            self._report_skipped()
            return
        start = time.perf_counter()
        picture, mask = self.planned.read(self.job), read_mask(self.mask, self.given.frame)
        image = as_seen(picture, self.loaded)
        result = restore(self.loaded.model, image, mask=mask, **self.sampling)
        paths = [] if self.job.skipped else self._write(result, picture, mask)
        grid.add(lambda: grid_row(self.job.source.label, image, result))
        uncertainty.add(lambda: spread_chart(self.job.source.label, result))
        if self.job.skipped:
            self._report_skipped()
            return
        elapsed = time.perf_counter() - start
        self._note_far(result)
        self._note_inconsistent(result)
        best = result.kept[0].score
        self.console.detail(
            f"{self.job.name}: best of {len(result.ranked)} has {best.summary}, {elapsed:.2f} s"
        )
        if self.given.json:
            self.console.json(
                restoration_record(
                    self.command,
                    self.names,
                    self.loaded,
                    self.sampling,
                    result,
                    paths,
                    self.planned.encoder.lossless and picture.alpha is None,
                    elapsed,
                )
            )

    def _note_far(self, result: Candidates) -> None:
        domain = self.loaded.domain
        if domain is not None and domain.is_far(result.statistics):
            self.console.note(
                f"warning: {self.job.name} is unlike what {self.loaded.id} was trained on: "
                f"distance {domain.distance(result.statistics):.1f}, its {domain.pictures} "
                f"validation pictures reach {domain.farthest:.1f}"
            )

    def _note_inconsistent(self, result: Candidates) -> None:
        worst = max(candidate.consistency_max or 0 for candidate in result.kept)
        if worst > 1:
            self.console.note(
                f"{self.job.name}: shrinks to the input within {worst} levels, not 1: the colours "
                "that would do better are out of range"
            )

    def _report_skipped(self) -> None:
        _list_job(self.command, self.job, self.mask, self.given, self.console)

    def report_failure(self, error: CaflowError) -> None:
        from .records import error_record

        self.console.error(error)
        if self.given.json:
            self.console.json(error_record(self.command, self.names, error))

    def _write(self, result: Candidates, picture: Decoded, mask: Picture | None) -> list[str]:
        """The kept pictures, to their files or to stdout; the paths written."""
        from .records import provenance
        from .transparency import put_back

        encoder = self.planned.encoder
        if picture.alpha is not None and not encoder.has_alpha:
            self.console.note(f"{self.job.name}: laid on white, as {encoder.format} has no alpha")
        paths = []
        for candidate in result.kept:
            record = provenance(candidate, result, self.loaded)
            image, alpha = put_back(candidate.image, picture, mask)
            data = encoder.encode(image, alpha, json.dumps(record))
            if not self.job.outputs:
                self.console.binary(data)
                continue
            path = self.job.outputs[candidate.rank - 1]
            self.planned.write(path, data)
            paths.append(str(path))
            if not self.given.json:
                self.console.result(str(path))
        return paths


def _check_usage(given: Restoration) -> None:
    """What can be refused without reading anything."""
    from ..tasks import check_sampling

    check_sampling(**given.sampling)
    if given.output == "-" and given.json:
        raise CaflowError("-o - and --json both want stdout", "use one of them", EXIT_USAGE)


def _check_mask(loaded: LoadedModel, mask: str | None) -> None:
    """A mask just where the model's task needs one, before pictures are read."""
    from ..inference import task_of

    task = task_of(loaded.model)
    if task.needs_mask and mask is None:
        raise CaflowError(
            f"model {loaded.id!r} is for {task.name}, which needs a mask",
            "--mask FILE, white = fill",
            EXIT_USAGE,
        )
    if mask is not None and not task.needs_mask:
        raise CaflowError(
            f"model {loaded.id!r} is for {task.name}, which takes no mask",
            "leave --mask out",
            EXIT_USAGE,
        )


def _check_candidates(loaded: LoadedModel, given: Restoration) -> None:
    """Enough of them where the model says how many, before pictures are read."""
    from ..inference import task_of
    from ..tasks import check_sampling

    model = loaded.model
    candidates = given.candidates or model.config.task.candidates or task_of(model).candidates
    check_sampling(**{**given.sampling, "candidates": candidates})
    if given.uncertainty is not None and candidates < 2:
        raise CaflowError("--uncertainty of one candidate", "-m 10", EXIT_USAGE)


def _list_outputs(
    command: str,
    jobs: Sequence[Job],
    masks: Sequence[Source | None],
    given: Restoration,
    console: Console,
) -> None:
    """What would be written, in the form in which it would be reported.

    Raises:
        typer.Exit: (1) some input is known to fail.
    """
    from .records import error_record

    failed = False
    for job, mask in zip(jobs, masks, strict=True):
        problem = job.source.problem
        if problem is None:
            _list_job(command, job, mask, given, console)
            continue
        failed = True
        console.error(problem)
        if given.json:
            console.json(error_record(command, _names(job, mask), problem))
    if failed:
        raise typer.Exit(EXIT_FAILED)


def _list_job(
    command: str, job: Job, mask: Source | None, given: Restoration, console: Console
) -> None:
    from .records import planned_record

    paths = [str(path) for path in job.outputs]
    if given.json:
        console.json(planned_record(command, _names(job, mask), paths, job.skipped))
    elif job.skipped:
        console.note(f"{job.name}: skipped, {paths[0]} exists")
    else:
        for path in paths:
            console.result(path)


def _names(job: Job, mask: Source | None) -> dict[str, str | None]:
    """What was read, as JSON states it."""
    return {"input": job.name, "mask": mask.name if mask is not None else None}
