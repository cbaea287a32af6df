"""The work that `superres`, `colorize`, `inpaint` and `sample` have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import typer

from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError
from .console import Console
from .environment import named_in_environment
from .reporter import Reporter
from .restoration_options import Restoration

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ..images import Decoded
    from ..inference import Candidates
    from ..inference.loaded_model import LoadedModel
    from ..sampling import Sampling
    from ..tasks.base import Picture
    from .masking import Masking
    from .output_size import OutputSize, Resized
    from .plan import Job, Plan
    from .sheets import Sheet

__all__ = ["restore_pictures"]


def restore_pictures(
    command: str,
    inputs: Sequence[str],
    given: Restoration,
    masking: Masking | None = None,
    *,
    consistent: bool = False,
    size: OutputSize | None = None,
) -> None:
    """Restore every input, one after the other, and report each as it is done.

    Args:
        command: The command's name. It is the task's name and part of output names; "sample" is for
            any task.
        inputs: As typed.
        given: The options.
        masking: The mask, for tasks that may take one.
        consistent: For superres: project candidates to pictures that shrink to the input.
        size: For superres: the size of what is written; None: as drawn.

    Raises:
        CaflowError: Usage (2) or weights (3), before any picture is read.
        typer.Exit: (1) some input failed; the others are done.
    """
    console = Console(given.quiet, given.verbose)
    reporter = Reporter(command, console, given.json)
    sampling = given.sampling(consistent)
    sampling.check()
    given.check_streams()

    from .listing import list_jobs
    from .sheets import Sheet

    planned = given.plan(command, inputs, masking)
    rows, claims = len(planned.jobs), planned.claims
    existing = planned.overwrite, planned.skip_existing
    grid = Sheet("--grid", given.grid, rows, claims, *existing)
    uncertainty = Sheet("--uncertainty", given.uncertainty, rows, claims, *existing)
    sheets = [sheet for sheet in (grid, uncertainty) if sheet.wanted]
    for note in planned.notes:
        console.note(note)
    planned.check_mask()
    if given.dry_run or planned.is_settled(sheets=bool(sheets)):
        list_jobs(planned.jobs, reporter)
        return

    loaded = _load(command, given, console)
    unasked = command == "sample" and not (given.model or named_in_environment("paired"))
    has_mask = planned.fills_alpha or (masking is not None and masking.mask is not None)
    _check_mask(loaded, has_mask)
    if size is not None:
        size.check(loaded.model.config.task.factor)
    sampling = sampling.of(loaded.model.config)
    if given.uncertainty is not None and sampling.candidates == 1:
        raise CaflowError("--uncertainty needs more than one candidate", "-m 10", EXIT_USAGE)

    restorer = _Restorer(planned, loaded, sampling, grid, uncertainty, reporter, unasked, size)
    smaller = "crop the picture" if given.batch_size == 1 else "--batch-size 1"
    with console.progress("{task.completed}/{task.total}", results=True) as progress:
        bar = progress.add_task(command, total=len(planned.jobs))
        parts = progress.add_task("this picture", visible=False)
        restore = partial(restorer.restore, progress=partial(_show, progress, parts))
        sound = reporter.each(planned.jobs, restore, smaller, partial(progress.advance, bar))
    for sheet in sheets:
        if path := sheet.write():
            console.note(f"wrote {path}")
    if not sound:
        raise typer.Exit(EXIT_FAILED)


@dataclass(frozen=True)
class _Restorer:
    """Turns a job into its files."""

    planned: Plan
    loaded: LoadedModel
    sampling: Sampling  # with tau and M filled in
    grid: Sheet
    uncertainty: Sheet
    reporter: Reporter
    unasked: bool  # whether nobody named the model, so that a picture must fit it
    size: OutputSize | None  # of what is written

    def restore(self, job: Job, progress: Callable[[int, int], None]) -> None:
        """Read, sample, write and report one job. CaflowError if a step fails.

        `progress` takes how many of its parts and batches are done, and their number.

        A skipped job is drawn again if a sheet needs it, but its files are not written.
        """
        from ..images import filled_in
        from ..inference.charts import spread_chart
        from ..inference.grid import grid_row
        from .listing import list_job
        from .records import Restored

        if job.skipped and not (self.grid.wanted or self.uncertainty.wanted):
            list_job(job, self.reporter)
            return
        start = time.perf_counter()
        picture = self.planned.read(job)
        mask = self.planned.read_mask(job, picture)
        if self.planned.fills_alpha:
            picture = filled_in(picture)
        image = self.loaded.as_seen(picture)
        if self.unasked:
            self._check_fit(job, image)
        result = self._draw(job, image, mask, progress)
        resized = self._resized(job, image, result)
        paths = [] if job.skipped else self._write(job, result, picture, mask, resized)
        self.grid.add(lambda: grid_row(job.source.label, image, result))
        self.uncertainty.add(lambda: spread_chart(job.source.label, result))
        if job.skipped:
            list_job(job, self.reporter)
            return
        elapsed = time.perf_counter() - start
        self._say(job, image, result, elapsed)
        if resized is not None:
            self.reporter.console.note(f"{job.name}: {resized}")
        exact = self.planned.encoder.lossless and picture.alpha is None and resized is None
        restored = Restored(
            job.names, self.loaded, self.sampling, result, paths, exact, elapsed, resized
        )
        self.reporter.record(restored.fields)

    def _check_fit(self, job: Job, image: Picture) -> None:
        """Refuse a picture unlike the model's: alone as wrong usage, else without the others."""
        from .paired_default import check_fit

        try:
            check_fit(self.loaded, image, job.name)
        except CaflowError as error:
            code = error.exit_code if len(self.planned.jobs) == 1 else EXIT_FAILED
            raise CaflowError(error.message, error.hint, code) from error

    def _draw(
        self,
        job: Job,
        image: Picture,
        mask: Picture | None,
        progress: Callable[[int, int], None],
    ) -> Candidates:
        """Draw candidates. CaflowError with the picture's name."""
        from ..inference import restore_with

        try:
            return restore_with(self.loaded.model, image, self.sampling, mask, progress)
        except CaflowError as error:
            message = f"{job.name}: {error.message}"
            raise CaflowError(message, error.hint, error.exit_code) from error

    def _resized(self, job: Job, image: Picture, result: Candidates) -> Resized | None:
        """The change of the drawn pictures, if any. CaflowError with the picture's name."""
        if self.size is None:
            return None
        try:
            return self.size.resized(image, result.kept[0].image)
        except CaflowError as error:
            message = f"{job.name}: {error.message}"
            raise CaflowError(message, error.hint, error.exit_code) from error

    def _write(
        self,
        job: Job,
        result: Candidates,
        picture: Decoded,
        mask: Picture | None,
        resized: Resized | None,
    ) -> list[str]:
        """Write the kept pictures to their files or to stdout. Returns the paths written."""
        from ..inference.written import provenance, written
        from .records import resized_fields

        encoder, console = self.planned.encoder, self.reporter.console
        if picture.alpha is not None and not encoder.has_alpha:
            console.note(f"{job.name}: laid on white, because {encoder.format} has no alpha")
        paths = []
        for candidate in result.kept:
            drawn = candidate.image if resized is None else resized.of(candidate.image)
            record = {**provenance(candidate, result, self.loaded), **resized_fields(resized)}
            data = written(drawn, record, picture, mask, encoder)
            if not job.outputs:
                console.binary(data)
                continue
            path = job.outputs[candidate.rank - 1]
            self.planned.write(path, data)
            paths.append(str(path))
            self.reporter.text([str(path)])
        return paths

    def _say(self, job: Job, image: Picture, result: Candidates, elapsed: float) -> None:
        """Write warnings about a result to stderr and, with `-v`, the best candidate's score."""
        console, domain = self.reporter.console, self.loaded.domain
        if domain is not None and domain.is_far(result.statistics):
            console.note(
                f"warning: {job.name} is unlike what {self.loaded.id} was trained on: "
                f"its distance is {domain.distance(result.statistics):.1f}, that of the "
                f"{domain.pictures} validation pictures at most {domain.farthest:.1f}"
            )
        if self.loaded.model.config.task.name == "paired":
            sizes = [f"{one.shape[1]}x{one.shape[0]}" for one in (image, result.kept[0].image)]
            if sizes[0] != sizes[1]:
                console.note(f"{job.name}: {sizes[0]} brought to {sizes[1]}, the model's scale")
        worst = max(candidate.consistency_max or 0 for candidate in result.kept)
        if worst > 1:
            console.note(
                f"{job.name}: shrinks to the input within {worst} levels, not 1, because "
                "better colours are out of range"
            )
        best = result.kept[0].score
        console.detail(
            f"{job.name}: best of {len(result.ranked)} has {best.summary}, {elapsed:.2f} s"
        )


def _show(progress: Progress, bar: TaskID, done: int, total: int) -> None:
    """Show how much of one picture is done, where it takes more than one step."""
    progress.update(bar, completed=done, total=total, visible=1 < total != done)


def _load(command: str, given: Restoration, console: Console) -> LoadedModel:
    """Load the model, and compile it if the options ask for that."""
    from ..devices import check_compiler, select_device
    from .loaded_model import load_model
    from .paired_default import paired_models

    if given.compile:
        check_compiler(select_device(given.device))
    task, name = None if command == "sample" else command, given.model
    if task is None:
        name = name or named_in_environment("paired") or paired_models()[0]
    loaded = load_model(name, given.device, console, task)
    if given.compile:
        loaded.model.compile_inference()
    return loaded


def _check_mask(loaded: LoadedModel, has_mask: bool) -> None:
    """Refuse a missing mask, or one that the task does not take, before pictures are read."""
    from ..inference import task_of

    task = task_of(loaded.model)
    if task.needs_mask and not has_mask:
        raise CaflowError(
            f"model {loaded.id!r} is for {task.name}, which needs a mask",
            "--mask FILE, white = fill",
            EXIT_USAGE,
        )
    if has_mask and not task.needs_mask:
        raise CaflowError(
            f"model {loaded.id!r} is for {task.name}, which takes no mask",
            "leave --mask out",
            EXIT_USAGE,
        )
