"""`superres`, `colorize`, `inpaint` and `sample`: a list of jobs, and one loop over them."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import EXIT_FAILED, CaflowError, check_usage, memory_errors
from ..sampling import Sampling
from .console import Console
from .options import Restoration, load_model

if TYPE_CHECKING:
    from ..images import Decoded
    from ..inference import Candidates
    from ..model import CAFlow
    from ..tasks import Pixels
    from .masking import Masking
    from .plan import Job, Plan, Scale
    from .records import Fields

_MOST = 32  # neighbouring images that may share a batch
_HELD = 2**22  # pixels, of all candidates of images that wait for their batch
_SMALLER = "crop the image"  # where memory does not suffice


def restore_all(
    console: Console,
    inputs: Sequence[str],
    given: Restoration,
    masking: Masking | None = None,
    *,
    consistent: bool = False,
    scale: str | None = None,
) -> None:
    """Restore every input, and report each as it is done.

    The command has the name of the task; "sample" is for any task.

    Raises:
        CaflowError: Usage (2) or weights (3), before anything is written.
        typer.Exit: (1) some input failed; the others are done.
    """
    names = [field.name for field in fields(Sampling) if field.name != "consistent"]
    sampling = Sampling(consistent=consistent, **{name: getattr(given, name) for name in names})
    sampling.check()
    both = given.output == "-" and console.json
    check_usage(not both, "-o - and --json both want stdout", "use one of them")

    from .plan import make_plan, parse_scale

    size = None if scale is None else parse_scale(scale)
    mask = None if masking is None else masking.mask
    plan = make_plan(console, inputs, given, mask)
    if given.dry_run or all(job.skipped or job.source.problem for job in plan.jobs):
        listed = [_list(job, console) for job in plan.jobs]
        ok = all(listed)
    else:
        task = None if console.command == "sample" else console.command
        model = load_model(given.model, given.device, console, task)

        from ..devices import check_bf16
        from ..inference import task_of

        # Without a mask, inpaint fills what is transparent.
        if sampling.precision == "bf16":
            check_bf16(model.device)
        task_of(model).check_mask(mask is not None or task == "inpaint")
        if given.compile:
            model.compile_inference()
        sampling, factor = sampling.of(model.config), model.config.task.factor
        message = f"--scale {scale} is more than the model's {factor}"
        too_large = isinstance(size, float) and size > factor
        check_usage(not too_large, message, f"--scale {factor}, or --scale WIDTHxHEIGHT")
        spread = given.uncertainty is None or sampling.candidates != 1
        check_usage(spread, "--uncertainty needs more than one candidate", "-m 10")
        with console.progress() as display:
            bar = display.add_task(console.command, total=len(plan.jobs))
            show = partial(display.update, bar)
            ok = _Run(plan, model, sampling, given, masking, size, console, show).all()
        for sheet in (plan.grid, plan.uncertainty):
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
    elapsed: float = 0.0  # seconds of drawing, of a batch its share


@dataclass(eq=False)
class _Run:
    """The jobs, and what they have in common."""

    plan: Plan
    model: CAFlow
    sampling: Sampling  # with tau and M filled in
    given: Restoration
    masking: Masking | None
    scale: Scale | None  # of what is written; None: as drawn
    console: Console
    show: Callable[..., None]  # updates the progress bar
    done: int = 0  # jobs

    def all(self) -> bool:
        """Read, draw, write and report every job; return whether all succeeded."""
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
                    if item.job.name not in error.message:
                        error.message = f"{item.job.name}: {error.message}"
                    self.console.failure(item.job.names, error)
                    ok = False
                self.done += 1
        return ok

    def _batches(self) -> Iterator[list[_Item]]:
        """Read jobs; small neighbours that the model draws at one size share a batch."""
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
        """Read a job; an error waits for its turn."""
        from ..inference import task_of
        from ..inference.arguments import seen_by
        from .plan import scaled

        item, task = _Item(job), task_of(self.model)
        try:
            with memory_errors(_SMALLER):
                if job.skipped:
                    return item
                image = job.source.read()
                if image.frames > 1:
                    self.console.note(f"{job.name}: the first of {image.frames} frames is used")
                if self.masking is not None and task.needs_mask:
                    item.mask = self.masking.read(job.mask, image, job.name)
                    image = image.opaque() if job.mask is None else image
                item.image, item.seen = image, seen_by(self.model, image)
                height, width = item.seen.shape[:2]
                if self.scale is not None:
                    scaled(self.scale, height, width)
                size = task.model_size(item.seen, item.mask)
                notes = [task.note(item.seen, item.mask)]
                is_small = task.name == "superres" and 16 <= height == width <= 20
                if is_small and self.given.model is None:
                    notes.append("the size of faces that --model faces-superres-x4 enlarges")
                for note in filter(None, notes):
                    self.console.note(f"{job.name}: {note}")
                item.size = size
        except CaflowError as error:
            item.error = error
            if len(self.plan.jobs) > 1:  # a wrong mask of one image does not stop the others
                error.exit_code = EXIT_FAILED
        return item

    def _draw(self, batch: Sequence[_Item]) -> None:
        """Draw candidates for images of one size, together; one by one if one of them fails."""
        from ..inference import restore_images

        images = [item.seen for item in batch if item.seen is not None and item.size is not None]
        if not images:
            return
        self.show(description=batch[0].job.name)
        masks, start = [item.mask for item in batch], time.perf_counter()

        def step(done: int, total: int) -> None:
            self.show(completed=self.done + len(batch) * done / total)

        try:
            with memory_errors(_SMALLER):
                results = restore_images(self.model, images, self.sampling, masks, step)
        except CaflowError as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            for item in batch:
                self._draw([item])
            return
        for item, result in zip(batch, results, strict=True):
            item.result = result
            item.elapsed = (time.perf_counter() - start) / len(batch)

    def _write(self, item: _Item) -> bool:
        """Write and report one job; return whether there were as many candidates as are kept."""
        import numpy as np
        from PIL import Image

        from ..inference.figures import grid_row, uncertainty_chart
        from .plan import scaled, write_output
        from .records import restored_fields

        job, result, image = item.job, item.result, item.image
        if item.error is not None:
            raise item.error
        if result is None or image is None:
            return _list(job, self.console)
        label, (height, width) = Path(job.name).name, result.kept[0].image.shape[:2]
        drawn = written = width, height
        if self.scale is not None:
            written = scaled(self.scale, *result.condition.shape[:2])
        resized: Fields = {}
        if written != drawn:
            resized = {"resized": {"drawn": drawn, "written": written, "filter": "lanczos"}}
        encoder, paths = self.plan.encoder, dict[int, str]()
        if image.alpha is not None and not encoder.has_alpha:
            self.console.note(f"{job.name}: laid on white, because {encoder.format} has no alpha")
        for candidate in result.kept:
            pixels = candidate.image
            if resized:  # to a smaller size, too, every pixel is read
                large = Image.fromarray(pixels)
                pixels = np.array(large.resize(written, Image.Resampling.LANCZOS))
            record = json.dumps({**result.provenance(candidate), **resized})
            data = encoder.encode(*image.put_back(pixels, item.mask), record)
            if not job.outputs:
                self.console.binary(data)
                continue
            path = job.outputs[candidate.rank - 1]
            if write_output(path, data, self.given):
                paths[candidate.rank] = str(path)
                self.console.text([str(path)])
            else:  # it may hold another candidate than this one
                self.console.note(f"{job.name}: {path} exists, and is kept")
        self.plan.grid.add(lambda: grid_row(label, result.tau, result.seen, result.ranked))
        self.plan.uncertainty.add(lambda: uncertainty_chart(label, result.ranked, result.tau))
        self._say(job.name, result, item.elapsed)
        exact = encoder.lossless and image.alpha is None and not resized
        fields = restored_fields(result, paths, resized, exact)
        self.console.result({**job.names, **fields, "elapsed_s": round(item.elapsed, 3)})
        return len(result.kept) == self.sampling.keep

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
            message = f"{name}: only {len(result.kept)} of {sampling.keep} images to keep"
            console.error(CaflowError(message, "a lower --tau, or a larger -m"))
        console.detail(
            f"{name}: best of {len(result.ranked)} has {best.score.summary}, {elapsed:.2f} s"
        )


def _list(job: Job, console: Console) -> bool:
    """Report a job that is not done: planned, skipped, or (False) known to fail."""
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
