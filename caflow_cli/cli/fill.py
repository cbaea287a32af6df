"""`caflow inpaint` by a classical fill in the place of a model."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import typer

from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError
from .picture_progress import PictureProgress
from .reporter import Reporter
from .restoration_options import Restoration
from .shares import Shares, in_blocks, open_console
from .typed import as_typed

if TYPE_CHECKING:
    from .masking import Masking
    from .plan import Job, Plan
    from .records import Fields

__all__ = ["fill_pictures"]

_LENGTH = 4  # pictures that one process takes at a time
# What does not ask for draws, ranks or scores; any other option is refused where it is typed.
_UNDERSTOOD = {
    "model",
    "device",  # not used: the environment may say it for all commands
    "output",
    "recursive",
    "overwrite",
    "skip_existing",
    "format",
    "quality",
    "no_provenance",
    "frame",
    "jobs",
    "dry_run",
    "json",
    "quiet",
    "verbose",
}


def fill_pictures(inputs: Sequence[str], given: Restoration, masking: Masking) -> None:
    """Fill the holes of every input by the method that `--model` names.

    Raises:
        CaflowError: Usage (2) or OpenCV missing (3), before any picture is read.
        typer.Exit: (1) some input failed; the others are done.
    """
    name = given.model
    assert name is not None
    console = open_console(given.quiet, given.verbose)
    reporter = Reporter("inpaint", console, given.json)
    given = as_typed(given, {option.name for option in fields(given)} - _UNDERSTOOD)
    _check(name, given)
    given.check_streams()
    planned = given.plan("inpaint", inputs, masking)
    for note in planned.notes:
        console.note(note)
    planned.check_mask()
    with planned.gathered(given.jobs, [], console, dry_run=given.dry_run) as (planned, team):
        if given.dry_run or planned.is_settled():
            from .listing import list_jobs

            list_jobs(planned.jobs, reporter)
            return

        from .records import method_fields

        with PictureProgress(console, "inpaint", len(planned.jobs)).shown() as progress:
            shares = Shares(team, console, [], progress.done)
            reporter = Reporter("inpaint", shares.console, given.json)
            filler = _Filler(name, method_fields(name), planned, reporter)

            def fill(jobs: Sequence[Job]) -> bool:
                return reporter.each(jobs, filler.fill, "crop the picture", shares.done)

            sound = shares.run(in_blocks(planned.jobs, _LENGTH), fill, lambda job: job.name)
    if not sound:
        raise typer.Exit(EXIT_FAILED)


def _check(name: str, given: Restoration) -> None:
    """Refuse options of drawing, ranking and scoring, unless they say what is so anyway."""
    plain = {"candidates": 1}  # the one that there is
    for option in fields(Restoration):
        value = getattr(given, option.name)
        if option.name in _UNDERSTOOD or value in (option.default, plain.get(option.name)):
            continue
        flag = f"--{option.name.replace('_', '-')}"
        raise CaflowError(
            f"{name} gives one result, without draws or scores, so {flag} means nothing",
            f"leave {flag} out",
            EXIT_USAGE,
        )


@dataclass(frozen=True)
class _Filler:
    """Turns a job into its file."""

    name: str
    method: Fields
    planned: Plan
    reporter: Reporter

    def fill(self, job: Job) -> None:
        """Read, fill, write and report one job. CaflowError if a step fails."""
        from ..images import FILLED, filled_in, put_back
        from ..tasks.classical import fill
        from .listing import list_job
        from .records import Filled, fill_provenance

        if job.skipped:
            list_job(job, self.reporter)
            return
        start = time.perf_counter()
        picture = self.planned.read(job)
        mask = self.planned.read_mask(job, picture)
        assert mask is not None
        if self.planned.fills_alpha:
            picture = filled_in(picture)
        try:
            result = fill(self.name, picture.seen(faint=False), mask)
        except CaflowError as error:
            message = f"{job.name}: {error.message}"
            raise CaflowError(message, error.hint, error.exit_code) from error
        image, alpha = put_back(result, picture, mask)
        encoder, console = self.planned.encoder, self.reporter.console
        if picture.alpha is not None and not encoder.has_alpha:
            console.note(f"{job.name}: laid on white, because {encoder.format} has no alpha")
        data = encoder.encode(image, alpha, json.dumps(fill_provenance(self.method)), FILLED)
        if not job.outputs:
            console.binary(data)
        paths = []
        for path in job.outputs:
            if self.planned.write(path, data):
                paths.append(str(path))
                self.reporter.text([str(path)])
            else:
                console.note(f"{job.name}: {path} exists, and is kept")
        elapsed = time.perf_counter() - start
        self.reporter.record(Filled(job.names, self.method, paths, elapsed).fields)
