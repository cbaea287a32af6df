"""`superres`, `colorize`, `inpaint` and `sample`: a list of jobs, and one loop over them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError, memory_errors
from .console import Console
from .options import Restoration
from .progress import ImageProgress

if TYPE_CHECKING:
    from ..images import Decoded
    from ..inference import Candidates
    from ..model import CAFlow
    from ..sampling import Sampling
    from ..tasks import Pixels
    from .masking import Masking
    from .output_size import OutputSize
    from .outputs import Sheet
    from .plan import Job, Plan
    from .records import Fields

__all__ = ["restore_all"]

_MOST = 32  # neighbouring images that may share a batch
_HELD = 2**22  # pixels, of all candidates of images that wait for their batch
_SMALLER = "crop the image"  # where memory does not suffice


def restore_all(
    command: str,
    inputs: Sequence[str],
    given: Restoration,
    masking: Masking | None = None,
    *,
    consistent: bool = False,
    size: OutputSize | None = None,
) -> None:
    """Restore every input, and report each as it is done.

    Args:
        command: Its name, which is part of output names. It is the task's name, too; "sample" is
            for any task.
        inputs: As typed.
        given: The options.
        masking: The mask, for tasks that may take one.
        consistent: For superres: project candidates to images that shrink to the input.
        size: For superres: the size of what is written; None: as drawn.

    Raises:
        CaflowError: Usage (2) or weights (3), before any image is read.
        typer.Exit: (1) some input failed; the others are done.
    """
    console = Console(given.quiet, given.verbose, command, given.json)
    sampling = given.sampling(consistent)
    sampling.check()

    from .inputs import find_shard
    from .outputs import Sheet
    from .plan import make_plan

    shard = find_shard(given.shard, console)
    shard.refuse("--grid", given.grid is not None)
    shard.refuse("--uncertainty", given.uncertainty is not None)
    plan = make_plan(inputs, command, given, masking, shard)
    rows, existing = len(plan.jobs), (given.overwrite, given.skip_existing)
    grid = Sheet("--grid", given.grid, rows, plan.claims, *existing)
    uncertainty = Sheet("--uncertainty", given.uncertainty, rows, plan.claims, *existing)
    sheets = [sheet for sheet in (grid, uncertainty) if sheet.wanted]
    for note in plan.notes:
        console.note(note)
    plan.check_mask()
    if given.dry_run or plan.nothing_to_do(sheets=bool(sheets)):
        listed = [_list(job, console) for job in plan.jobs]
        ok = all(listed)
    else:
        from .loaded_model import load_model

        if given.compile or given.precision == "bf16":
            from ..devices import check_bf16, check_compiler, select_device

            if given.compile:
                check_compiler(select_device(given.device))
            if given.precision == "bf16":
                check_bf16(select_device(given.device))
        has_mask = plan.fills_alpha or (masking is not None and masking.mask is not None)
        task = None if command == "sample" else command
        model = load_model(given.model, given.device, console, task)

        from ..inference import task_of

        task_of(model).check_mask(has_mask)
        if given.compile:
            model.compile_inference()
        if size is not None:
            size.check(model.config.task.factor)
        sampling = sampling.of(model.config)
        if given.uncertainty is not None and sampling.candidates == 1:
            raise CaflowError("--uncertainty needs more than one candidate", "-m 10", EXIT_USAGE)
        with ImageProgress(console, len(plan.jobs)).shown() as progress:
            run = _Run(plan, model, sampling, given, size, (grid, uncertainty), console, progress)
            ok = run.all()
        for sheet in sheets:
            if path := sheet.write():
                console.note(f"wrote {path}")
    if not ok:
        raise typer.Exit(EXIT_FAILED)


@dataclass(eq=False)
class _Item:
    """A job while it is worked on."""

    job: Job
    image: Decoded | None = None
    mask: Pixels | None = None
    seen: Pixels | None = None  # the colours that the model reads
    size: tuple[int, int] | None = None  # of what the model draws; None: nothing is drawn
    result: Candidates | None = None
    error: CaflowError | None = None
    elapsed: float = 0.0  # seconds, of a batch its share


@dataclass(frozen=True)
class _Run:
    """The jobs, and what they have in common."""

    plan: Plan
    model: CAFlow
    sampling: Sampling  # with tau and M filled in
    given: Restoration
    size: OutputSize | None  # of what is written
    sheets: tuple[Sheet, Sheet]  # --grid, --uncertainty
    console: Console
    progress: ImageProgress

    def all(self) -> bool:
        """Read, draw, write and report every job. What fails is reported, and the others complete.

        Returns:
            Whether all succeeded.
        """
        ok = True
        for batch in self._batches():
            self._draw(batch)
            for item in batch:
                try:
                    with memory_errors(_SMALLER):
                        ok &= self._write(item)
                except CaflowError as error:
                    if error.exit_code != EXIT_FAILED:
                        raise
                    self.console.failure(item.job.names, error)
                    ok = False
                self.progress.done()
        return ok

    def _batches(self) -> Iterator[list[_Item]]:
        """Read jobs; neighbours that the model draws at one size share a batch, if they are small.

        What cannot be read is alone in its batch.
        """
        from ..inference.sample import requests_at_a_time

        batch, held, m = list[_Item](), 0, self.sampling.candidates or 1
        for job in self.plan.jobs:
            item = self._read(job)
            if batch and item.size != batch[0].size:
                yield batch
                batch, held = [], 0
            batch.append(item)
            if item.size is not None and item.seen is not None:
                held += m * max(math.prod(item.seen.shape[:2]), math.prod(item.size))
                most = 1 if self.given.compile else min(_MOST, requests_at_a_time(item.size, m))
                if len(batch) < most and held < _HELD:
                    continue
            yield batch
            batch, held = [], 0
        if batch:
            yield batch

    def _read(self, job: Job) -> _Item:
        """Read a job; an error waits for its turn.

        A skipped job is drawn again if a sheet needs it, but its files are not written.
        """
        from ..inference import task_of
        from ..inference.arguments import seen_by

        item, task = _Item(job), task_of(self.model)
        if job.skipped and not any(sheet.wanted for sheet in self.sheets):
            return item
        start = time.perf_counter()
        try:
            with memory_errors(_SMALLER):
                image = job.source.read()
                if image.frames > 1:
                    self.console.note(f"{job.name}: the first of {image.frames} frames is used")
                item.mask = self.plan.read_mask(job, image)
                item.image = image.opaque() if self.plan.fills_alpha else image
                item.seen = seen_by(self.model, item.image)
                height, width = item.seen.shape[:2]
                is_small = task.name == "superres" and 16 <= height == width <= 20
                if is_small and self.given.model is None:
                    enlarges = "the size of faces that --model faces-superres-x4 enlarges"
                    self.console.note(f"hint: {job.name} has {enlarges}")
                with _named(job):
                    if self.size is not None:
                        self.size.of(height, width)
                    size = task.model_size(item.seen, item.mask)
                if note := task.note(item.seen, item.mask):
                    self.console.note(f"{job.name}: {note}")
                item.size = size
        except CaflowError as error:
            item.error = error
        item.elapsed = time.perf_counter() - start
        return item

    def _draw(self, batch: Sequence[_Item]) -> None:
        """Draw candidates for images of one size, together; one by one if one of them fails."""
        from ..inference import restore_images

        images = [item.seen for item in batch if item.seen is not None and item.size is not None]
        if not images:
            return
        job, more, start = batch[0].job, len(batch) - 1, time.perf_counter()
        self.progress.begin(f"{job.name} and {more} more" if more else job.name)
        masks = [item.mask for item in batch]
        try:
            with memory_errors(_SMALLER), _named(job):
                results = restore_images(
                    self.model, images, self.sampling, masks, self.progress.step
                )
        except CaflowError as error:
            if not more:
                batch[0].error = error
            for item in batch if more else ():
                self._draw([item])
            return
        for item, result in zip(batch, results, strict=True):
            item.result = result
            item.elapsed += (time.perf_counter() - start) / len(batch)

    def _write(self, item: _Item) -> bool:
        """Write and report one job.

        Returns:
            Whether there were as many candidates as are kept.

        Raises:
            CaflowError: A step of it has failed, or fails.
        """
        from ..inference.figures import grid_row, spread_chart
        from .records import restored_fields

        job, result, image = item.job, item.result, item.image
        if item.error is not None:
            raise item.error
        if result is None or image is None:
            return _list(job, self.console)
        start, label = time.perf_counter(), job.source.label
        drawn, target = _size(result.kept[0].image), None
        if self.size is not None:
            with _named(job):
                target = self.size.of(*result.condition.shape[:2])
        resized: Fields = {}
        if target is not None and target != drawn:
            resized = {"resized": {"drawn": drawn, "written": target, "filter": "lanczos"}}
        paths = {} if job.skipped else self._write_kept(item, image, result, target, resized)
        grid, uncertainty = self.sheets
        grid.add(lambda: grid_row(label, result.tau, result.seen, result.ranked))
        uncertainty.add(lambda: spread_chart(label, result.ranked, result.tau))
        if job.skipped:
            return _list(job, self.console)
        elapsed = item.elapsed + time.perf_counter() - start
        self._say(job.name, result, elapsed)
        if target is not None and resized:
            how = "enlarged, without more detail," if target > drawn else "reduced"
            self.console.note(f"{job.name}: drawn at {_by(drawn)}, {how} to {_by(target)}")
        exact = self.plan.encoder.lossless and image.alpha is None and not resized
        fields = restored_fields(job.names, result, paths, resized, exact)
        self.console.result({**fields, "elapsed_s": round(elapsed, 3)})
        return len(result.kept) == self.sampling.keep

    def _write_kept(
        self,
        item: _Item,
        image: Decoded,
        result: Candidates,
        target: tuple[int, int] | None,
        resized: Fields,
    ) -> dict[int, str]:
        """Write the kept images to their files or to stdout. Returns the paths, by rank."""
        job, encoder, paths = item.job, self.plan.encoder, dict[int, str]()
        if image.alpha is not None and not encoder.has_alpha:
            self.console.note(f"{job.name}: laid on white, because {encoder.format} has no alpha")
        for candidate in result.kept:
            pixels = candidate.image
            if target is not None and resized:
                pixels = _lanczos(pixels, target)
            record = json.dumps({**result.provenance(candidate), **resized})
            data = encoder.encode(*image.put_back(pixels, item.mask), record)
            if not job.outputs:
                self.console.binary(data)
                continue
            path = job.outputs[candidate.rank - 1]
            if self.plan.write(path, data):
                paths[candidate.rank] = str(path)
                self.console.text([str(path)])
            else:  # it may hold another candidate than this one
                self.console.note(f"{job.name}: {path} exists, and is kept")
        return paths

    def _say(self, name: str, result: Candidates, elapsed: float) -> None:
        """Write notes about a result to stderr and, with `-v`, the best candidate's score."""
        from ..inference.domain import far_note

        console, sampling, best = self.console, self.sampling, result.kept[0]
        if note := far_note(self.model, result.statistics):
            console.note(f"warning: {name}: {note}")
        if result.diverged:
            console.note(
                f"{name}: {result.diverged} of {sampling.candidates} candidates diverged at tau "
                f"{result.tau}, and are left out"
            )
        if len(result.kept) < sampling.keep:
            found = f"{len(result.kept)} of {sampling.keep} images to keep"
            console.error(CaflowError(f"{name}: only {found}", "a lower --tau, or a larger -m"))
        read, drawn = (_by(_size(one)) for one in (result.condition, best.image))
        if result.task == "paired" and read != drawn:
            console.note(f"{name}: {read} brought to {drawn}, the model's scale")
        worst = max(candidate.consistency_max or 0 for candidate in result.kept)
        if worst > 1:
            console.note(
                f"{name}: shrinks to the input within {worst} levels, not 1, because better "
                "colours are out of range"
            )
        console.detail(
            f"{name}: best of {len(result.ranked)} has {best.score.summary}, {elapsed:.2f} s"
        )


def _list(job: Job, console: Console) -> bool:
    """Report a job that is not done: with `--dry-run`, or because all its outputs exist.

    Returns:
        False where it is known to fail.
    """
    if job.source.problem is not None:
        console.failure(job.names, job.source.problem)
        return False
    paths = [str(path) for path in job.outputs]
    if job.skipped and not console.json:
        console.note(f"{job.name}: skipped, {paths[0]} exists")
    fields = {
        **job.names,
        "status": "skipped" if job.skipped else "planned",
        "outputs": [{"rank": rank, "path": path} for rank, path in enumerate(paths, 1)],
    }
    console.result(fields, [] if job.skipped else paths)
    return True


@contextmanager
def _named(job: Job) -> Iterator[None]:
    """Put the image's name in front of an error's message."""
    try:
        yield
    except CaflowError as error:
        message = f"{job.name}: {error.message}"
        raise CaflowError(message, error.hint, error.exit_code) from error


def _size(image: Pixels) -> tuple[int, int]:
    """Width and height."""
    return image.shape[1], image.shape[0]


def _by(size: tuple[int, int]) -> str:
    return "x".join(map(str, size))


def _lanczos(image: Pixels, size: tuple[int, int]) -> Pixels:
    """An image at another width and height; for a reduction it reads every pixel."""
    import numpy as np
    from PIL import Image

    return np.array(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))
