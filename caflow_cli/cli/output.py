"""What a command writes and reports of its jobs: files, sheets over all inputs, failures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import EXIT_FAILED, CaflowError, memory_errors
from ..images import Input, Pixels, atomic_write, encode_png, make_folder, no_file
from ..names import MARKS
from .options import Files
from .plan import Job

if TYPE_CHECKING:
    from .console import Console

SMALLER = "crop the image"  # hint if memory runs out


class Named(Protocol):
    """What a command works on, one after the other."""

    @property
    def names(self) -> Mapping[str, str]:
        """What is read, for JSON."""


@contextmanager
def reported(
    job: Named, console: Console, alone: bool = True, smaller: str = SMALLER
) -> Iterator[None]:
    """Report the error of a job, and go on. If the job is `alone`, an error of an exit code other
    than 1 is raised, which ends the command. `smaller` says what to do if memory runs out.
    """
    try:
        with memory_errors(smaller):
            yield
    except CaflowError as error:
        if alone and error.exit_code != EXIT_FAILED:
            raise
        console.failure(job.names, error)


def report_undone(job: Job, console: Console, **fields: object) -> None:
    """Report a job that is not executed: skipped, or planned, with `fields`.

    CaflowError (exit 1) if it has no input.
    """
    if job.skipped:
        if not console.json:
            console.about(job.name, f"skipped, {job.outputs[0]} exists", "skipped")
        console.result(job.fields("skipped", job.by_rank))
    elif job.source.missing:
        raise no_file(job.name)
    else:
        console.result(job.fields("planned", job.by_rank, **fields), map(str, job.paths))


def nothing_to_do(jobs: Sequence[Job], console: Console) -> bool:
    """Whether no job needs a model; then all of them are reported."""
    if not all(job.skipped or job.source.missing for job in jobs):
        return False
    for job in jobs:
        with reported(job, console):
            report_undone(job, console)
    return True


def write_outputs(
    job: Job, images: Iterable[bytes], files: Files, console: Console
) -> dict[int, str]:
    """Write outputs in the order of their ranks, each atomically. Returns paths by rank, without
    what goes to stdout, and files that exist and are to be kept, which may have other candidates.
    """
    paths: dict[int, str] = {}
    for rank, data in enumerate(images, 1):
        if not job.outputs:
            console.binary(data)
        elif write_file(job, path := job.outputs[rank - 1], data, files, console):
            paths[rank] = str(path)
    return paths


def write_marks(job: Job, image: Input, mask: Pixels, files: Files, console: Console) -> None:
    """Write the image with its mask, uint8 (H, W), in red if that is wanted."""
    if MARKS in job.beside:
        from ..restoration import marks_over

        data = encode_png(marks_over(image.image.shown, mask))
        write_file(job, job.beside[MARKS], data, files, console)


def write_file(job: Job, path: Path, data: bytes, files: Files, console: Console) -> bool:
    """Write a file, and its path to stdout; return False if it exists and is to be kept."""
    make_folder(path.parent)
    try:
        atomic_write(path, data, replace=files.overwrite)
    except CaflowError as error:
        if not (files.skip_existing and isinstance(error.__cause__, FileExistsError)):
            raise
        console.about(job.name, f"{path} exists and is kept", "kept")
        return False
    console.text([str(path)])
    return True
