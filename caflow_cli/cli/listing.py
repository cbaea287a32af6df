"""Jobs that are listed but not done: with `--dry-run`, or because all their outputs exist."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from ..errors import EXIT_FAILED, CaflowError
from .estimates import estimate_fields, estimate_text
from .records import planned_fields
from .reporter import Reporter

if TYPE_CHECKING:
    from ..inference.estimate import Estimate
    from .estimates import Planned
    from .plan import Job

__all__ = ["list_job", "list_jobs"]


def list_jobs(
    jobs: Iterable[Job],
    reporter: Reporter,
    planned: Planned | None = None,
) -> None:
    """Report what would be written, in the same form as a real run.

    Args:
        jobs: In order.
        reporter: Takes the lines.
        planned: Says what a job will take and what will not come out of it.

    Raises:
        typer.Exit: (1) some input is known to fail.
    """
    failed = False
    for job in jobs:
        problem, work, note = job.source.problem, None, None
        if problem is None and planned is not None:
            try:
                work, note = planned.of(job)
            except CaflowError as error:
                problem = error
        if problem is None:
            if note is not None:
                reporter.console.note(f"{job.name}: {note}")
            list_job(job, reporter, work)
        else:
            reporter.failure(job.names, problem)
            failed = True
    if failed:
        raise typer.Exit(EXIT_FAILED)


def list_job(job: Job, reporter: Reporter, work: Estimate | None = None) -> None:
    """Report the outputs of one job and what it takes; for a skipped job, say that they exist."""
    if job.skipped:
        reporter.note(f"{job.name}: skipped, {job.paths[0]} exists")
    if work is not None:
        text = estimate_text(work, work.seconds())
        reporter.console.note(f"{job.name}: {text}, on one CPU core")
    fields = planned_fields(job.names, job.paths, job.skipped)
    if work is not None:
        fields = {**fields, "estimate": estimate_fields(work)}
    reporter.result(fields, [] if job.skipped else job.paths)
