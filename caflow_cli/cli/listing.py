"""Jobs that are listed but not done: with `--dry-run`, or because all their outputs exist."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from ..errors import EXIT_FAILED
from .records import planned_fields
from .reporter import Reporter

if TYPE_CHECKING:
    from .plan import Job

__all__ = ["list_job", "list_jobs"]


def list_jobs(jobs: Iterable[Job], reporter: Reporter) -> None:
    """Report what would be written, in the same form as a real run.

    Raises:
        typer.Exit: (1) some input is known to fail.
    """
    failed = False
    for job in jobs:
        if job.source.problem is None:
            list_job(job, reporter)
        else:
            reporter.failure(job.names, job.source.problem)
            failed = True
    if failed:
        raise typer.Exit(EXIT_FAILED)


def list_job(job: Job, reporter: Reporter) -> None:
    """Report the outputs of one job; for a skipped job, say that they exist."""
    if job.skipped:
        reporter.note(f"{job.name}: skipped, {job.paths[0]} exists")
    fields = planned_fields(job.names, job.paths, job.skipped)
    reporter.result(fields, [] if job.skipped else job.paths)
