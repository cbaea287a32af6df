"""The work that `superres`, `colorize`, `inpaint` and `sample` have in common."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import typer

from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError, memory_errors
from .console import Console
from .options import Restoration
from .picture_progress import PictureProgress
from .reporter import Reporter

if TYPE_CHECKING:
    from ..images import Decoded
    from ..inference import Candidates
    from ..inference.loaded_model import LoadedModel
    from ..sampling import Sampling
    from ..tasks.base import Picture
    from .masking import Masking
    from .output_size import OutputSize, Resized
    from .outputs import Sheet
    from .plan import Job, Plan

__all__ = ["restore_pictures"]

_T = TypeVar("_T")
_PICTURES, _CANDIDATES = 32, 64  # of neighbouring pictures that may share batches, at most
_SMALLER = "crop the picture"  # where memory does not suffice
_HELD = 2**22  # pixels, of all candidates, above which pictures that were read no longer wait


def restore_pictures(
    command: str,
    inputs: Sequence[str],
    given: Restoration,
    masking: Masking | None = None,
    *,
    consistent: bool = False,
    size: OutputSize | None = None,
) -> None:
    """Restore every input, neighbours of one size together, and report each as it is done.

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

    from .inputs import find_shard
    from .listing import list_jobs
    from .outputs import Sheet
    from .plan import plan

    shard = find_shard(given.shard, console)
    shard.refuse("--grid", given.grid is not None)
    shard.refuse("--uncertainty", given.uncertainty is not None)
    planned = plan(inputs, command, given, masking, shard)
    rows, claims = len(planned.jobs), planned.claims
    existing = planned.overwrite, planned.skip_existing
    grid = Sheet("--grid", given.grid, rows, claims, *existing)
    uncertainty = Sheet("--uncertainty", given.uncertainty, rows, claims, *existing)
    sheets = [sheet for sheet in (grid, uncertainty) if sheet.wanted]
    for note in planned.notes:
        console.note(note)
    planned.check_mask()
    if given.dry_run or planned.nothing_to_do(sheets=bool(sheets)):
        list_jobs(planned.jobs, reporter)
        return

    loaded = _load(command, given, console)
    unnamed = given.model is None
    has_mask = planned.fills_alpha or (masking is not None and masking.mask is not None)
    _check_mask(loaded, has_mask)
    if size is not None:
        size.check(loaded.model.config.task.factor)
    sampling = sampling.of(loaded.model.config)
    if given.uncertainty is not None and sampling.candidates == 1:
        raise CaflowError("--uncertainty needs more than one candidate", "-m 10", EXIT_USAGE)

    length = 1 if given.compile else at_a_time(sampling)
    with PictureProgress(console, command, len(planned.jobs)).shown() as progress:
        restorer = _Restorer(
            *(planned, loaded, sampling, grid, uncertainty),
            reporter,
            unnamed,
            size,
            progress,
        )
        done = [restorer.restore(jobs) for jobs in in_blocks(planned.jobs, length)]
    for sheet in sheets:
        if path := sheet.write():
            console.note(f"wrote {path}")
    if not all(done):
        raise typer.Exit(EXIT_FAILED)


@dataclass(eq=False)
class _Ready:
    """A job that was read, and what came of it."""

    job: Job
    picture: Decoded | None = None
    mask: Picture | None = None
    image: Picture | None = None  # as the model sees it
    size: tuple[int, int] | None = None  # of what the model draws; None: nothing is drawn
    result: Candidates | None = None
    error: CaflowError | None = None
    elapsed: float = 0.0  # seconds, of a batch its share

    @property
    def pixels(self) -> int:
        """How many are held for each candidate."""
        if self.image is None or self.size is None:
            return 0
        return max(math.prod(self.image.shape[:2]), math.prod(self.size))


@dataclass(frozen=True)
class _Restorer:
    """Turns jobs into their files."""

    planned: Plan
    loaded: LoadedModel
    sampling: Sampling  # with tau and M filled in
    grid: Sheet
    uncertainty: Sheet
    reporter: Reporter
    unnamed: bool  # whether nobody named the model, so that it may not suit a picture
    size: OutputSize | None  # of what is written
    progress: PictureProgress

    def restore(self, jobs: Sequence[Job]) -> bool:
        """Read, sample, write and report jobs, those of one size together.

        What fails is reported, and the others complete.

        Returns:
            Whether all succeeded.
        """
        sound, waiting, pixels = True, list[_Ready](), 0
        for job in jobs:
            ready = self._read(job)
            waiting.append(ready)
            pixels += ready.pixels * (self.sampling.candidates or 1)
            if pixels >= _HELD:
                sound &= self._restore(waiting)
                waiting, pixels = [], 0
        return self._restore(waiting) and sound

    def _restore(self, waiting: Sequence[_Ready]) -> bool:
        """Sample, write and report what was read, in order."""
        of_job = {id(ready.job): ready for ready in waiting}

        def work(job: Job) -> None:
            ready = of_job[id(job)]
            if ready.result is None and ready.error is None and ready.size is not None:
                self._draw([one for one in waiting if one.size == ready.size])
            self._finish(ready)

        return self.reporter.each([one.job for one in waiting], work, _SMALLER, self.progress.done)

    def _read(self, job: Job) -> _Ready:
        """Read a job. What fails is an error of what it returns.

        A skipped job is drawn again if a sheet needs it, but its files are not written.
        """
        from ..inference import task_of

        ready = _Ready(job)
        if job.skipped and not (self.grid.wanted or self.uncertainty.wanted):
            return ready
        start = time.perf_counter()
        try:
            with memory_errors(_SMALLER):
                picture = job.source.read()
                if picture.frames > 1:
                    self.reporter.console.note(
                        f"{job.name}: the first of {picture.frames} frames is used"
                    )
                ready.mask = self.planned.read_mask(job, picture)
                ready.picture = picture.opaque() if self.planned.fills_alpha else picture
                ready.image = self.loaded.as_seen(ready.picture)
                self._hint_at_faces(job, ready.image)
                with _named(job):
                    if self.size is not None:
                        self.size.scale_of(ready.image.shape[:2])
                    size = task_of(self.loaded.model).model_size(ready.image, ready.mask)
                self._note(job, ready.image, ready.mask)
                ready.size = size
        except CaflowError as error:
            ready.error = error
        ready.elapsed = time.perf_counter() - start
        return ready

    def _draw(self, alike: Sequence[_Ready]) -> None:
        """Draw candidates for pictures of one size, together; one by one if one of them fails."""
        from ..inference import restore_images
        from ..inference.sample import requests_at_a_time

        size, m = alike[0].size, self.sampling.candidates
        assert size is not None
        assert m is not None
        length = requests_at_a_time(size, m)
        for some in in_blocks(alike, length):
            start = time.perf_counter()
            images = [one.image for one in some if one.image is not None]
            try:
                with memory_errors(_SMALLER), _named(some[0].job):
                    self._begin(some)
                    results = restore_images(
                        self.loaded.model,
                        images,
                        self.sampling,
                        [one.mask for one in some],
                        self.progress.step,
                    )
            except CaflowError as error:
                if len(some) == 1:
                    some[0].error = error
                for one in some if len(some) > 1 else ():
                    self._draw([one])
                continue
            for one, result in zip(some, results, strict=True):
                one.result = result
                one.elapsed += (time.perf_counter() - start) / len(some)

    def _begin(self, some: Sequence[_Ready]) -> None:
        """Show that pictures are drawn."""
        first, more = some[0], len(some) - 1
        self.progress.begin(f"{first.job.name} and {more} more" if more else first.job.name)

    def _finish(self, ready: _Ready) -> None:
        """Write and report one job. CaflowError if a step of it has failed, or fails."""
        from ..inference.figures import grid_row, spread_chart
        from .listing import list_job
        from .records import Restored

        job, result, image, picture = ready.job, ready.result, ready.image, ready.picture
        if ready.error is not None:
            raise ready.error
        if result is None or image is None or picture is None:
            list_job(job, self.reporter)
            return
        start = time.perf_counter()
        resized = self._resized(job, image, result)
        paths = {} if job.skipped else self._write(job, result, picture, ready.mask, resized)
        self.grid.add(lambda: grid_row(job.source.label, result.tau, result.seen, result.ranked))
        self.uncertainty.add(lambda: spread_chart(job.source.label, result.ranked, result.tau))
        if job.skipped:
            list_job(job, self.reporter)
            return
        elapsed = ready.elapsed + time.perf_counter() - start
        self._say(job, image, result, elapsed)
        if resized is not None:
            self.reporter.console.note(f"{job.name}: {resized}")
        exact = self.planned.encoder.lossless and picture.alpha is None and resized is None
        restored = Restored(
            job.names,
            self.loaded,
            self.sampling,
            result,
            paths,
            exact,
            elapsed,
            resized,
        )
        self.reporter.record(restored.fields)

    def _note(self, job: Job, image: Picture, mask: Picture | None) -> None:
        """Write the note about an input before the work, if there is one."""
        from ..inference import task_of

        if note := task_of(self.loaded.model).note(image, mask):
            self.reporter.console.note(f"{job.name}: {note}")

    def _hint_at_faces(self, job: Job, image: Picture) -> None:
        """Name the model of faces, if nobody named a model and a picture has the size of one."""
        height, width = image.shape[:2]
        if self.unnamed and self.loaded.task == "superres" and 16 <= height == width <= 20:
            self.reporter.console.note(
                f"hint: {job.name} has the size of faces that --model faces-superres-x4 enlarges"
            )

    def _resized(self, job: Job, image: Picture, result: Candidates) -> Resized | None:
        """The change of the drawn pictures, if any. CaflowError with the picture's name."""
        if self.size is None:
            return None
        with _named(job):
            return self.size.resized(image, result.kept[0].image)

    def _write(
        self,
        job: Job,
        result: Candidates,
        picture: Decoded,
        mask: Picture | None,
        resized: Resized | None,
    ) -> dict[int, str]:
        """Write the kept pictures to their files or to stdout. Returns the paths, by rank."""
        from .records import resized_fields

        encoder, console = self.planned.encoder, self.reporter.console
        if picture.alpha is not None and not encoder.has_alpha:
            console.note(f"{job.name}: laid on white, because {encoder.format} has no alpha")
        written_by_rank = {}
        for candidate in result.kept:
            drawn = candidate.image if resized is None else resized.of(candidate.image)
            record = {**result.provenance(candidate), **resized_fields(resized)}
            pixels, alpha = picture.put_back(drawn, mask)
            data = encoder.encode(pixels, alpha, json.dumps(record))
            if not job.outputs:
                console.binary(data)
                continue
            path = job.outputs[candidate.rank - 1]
            if self.planned.write(path, data):
                written_by_rank[candidate.rank] = str(path)
                self.reporter.text([str(path)])
            else:  # it may hold another candidate than this one
                console.note(f"{job.name}: {path} exists, and is kept")
        return written_by_rank

    def _say(self, job: Job, image: Picture, result: Candidates, elapsed: float) -> None:
        """Write warnings about a result to stderr and, with `-v`, the best candidate's score."""
        console = self.reporter.console
        if note := self.loaded.far_note(result.statistics):
            console.note(f"warning: {job.name}: {note}")
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


def at_a_time(sampling: Sampling) -> int:
    """How many neighbouring pictures may share batches.

    They are as many as make 64 candidates.
    """
    assert sampling.candidates is not None
    return max(1, min(_PICTURES, _CANDIDATES // sampling.candidates))


def in_blocks(items: Sequence[_T], length: int) -> list[Sequence[_T]]:
    """Neighbours, so many at a time."""
    return [items[first : first + length] for first in range(0, len(items), length)]


@contextmanager
def _named(job: Job) -> Iterator[None]:
    """Put the picture's name in front of an error's message."""
    try:
        yield
    except CaflowError as error:
        message = f"{job.name}: {error.message}"
        raise CaflowError(message, error.hint, error.exit_code) from error


def _load(command: str, given: Restoration, console: Console) -> LoadedModel:
    """Load the model, and compile it if the options ask for that."""
    from .loaded_model import load_model

    if given.compile or given.precision == "bf16":
        from ..devices import check_bf16, check_compiler, select_device

        if given.compile:
            check_compiler(select_device(given.device))
        if given.precision == "bf16":
            check_bf16(select_device(given.device))
    loaded = load_model(given.model, given.device, console, _task_of(command))
    if given.compile:
        loaded.model.compile_inference()
    return loaded


def _task_of(command: str) -> str | None:
    """The task of a command's model; None: any."""
    return None if command == "sample" else command


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
