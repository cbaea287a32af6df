"""What a command writes and reports of its jobs: files, sheets over all inputs, failures."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_FAILED, CaflowError, ensure, memory_errors, usage_error
from ..images import atomic_write, encode_png, make_folder, no_file
from .options import Files
from .plan import Job

if TYPE_CHECKING:
    from ..tasks import Pixels
    from .console import Console

_LARGEST = 2**28  # maximum pixels of a resized image

Scale = float | tuple[int, int]  # a factor, or the width and height of a box to fit into


@contextmanager
def reported(job: Job, console: Console, alone: bool = True) -> Iterator[None]:
    """Report the error of a job, and go on. If the job is `alone`, an error of an exit code other
    than 1 is raised, which ends the command.
    """
    try:
        with memory_errors("crop the image"):
            yield
    except CaflowError as error:
        if alone and error.exit_code != EXIT_FAILED:
            raise
        error.exit_code = EXIT_FAILED
        if job.name not in error.message:
            error.message = f"{job.name}: {error.message}"
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


def write_output(
    job: Job, data: bytes, given: Files, console: Console, rank: int = 1
) -> dict[int, str]:
    """Write one output atomically. Returns its path by rank; empty if it goes to stdout, or if the
    file exists and is to be kept.
    """
    if not job.outputs:
        console.binary(data)
        return {}
    path = job.outputs[rank - 1]
    return {rank: str(path)} if write_file(job, path, data, given, console) else {}


def write_file(job: Job, path: Path, data: bytes, given: Files, console: Console) -> bool:
    """Write a file, and its path to stdout; return False if it exists and is to be kept."""
    make_folder(path.parent)
    try:
        atomic_write(path, data, replace=given.overwrite)
    except CaflowError as error:
        if not (given.skip_existing and isinstance(error.__cause__, FileExistsError)):
            raise
        console.about(job.name, f"{path} exists and is kept", "kept")
        return False
    console.text([str(path)])
    return True


def parse_scale(typed: str) -> Scale:
    """Parse `2`, `1.5` or `1920x1080`; CaflowError (exit 2) if it is not a scale."""
    if match := re.fullmatch(r"0*([1-9]\d{0,5})[xX×]0*([1-9]\d{0,5})", typed):
        return int(match[1]), int(match[2])
    with suppress(ValueError):
        if 1 < float(typed) <= 64:
            return float(typed)
    raise usage_error(f"--scale is {typed!r}", "--scale 2, or --scale 1920x1080 to fit")


def scaled(scale: Scale, height: int, width: int) -> tuple[int, int]:
    """Width and height of the written image for an input of that size.

    CaflowError (exit 1) if the input already fills the box, or if the result would be too large.
    """
    if isinstance(scale, tuple):
        box = scale
        scale = min(box[0] / width, box[1] / height)
        ensure(
            scale > 1,
            f"the image, {width}x{height}, already fills {box[0]}x{box[1]}",
            "a larger --scale, or leave it out",
        )
    wide = round(scale * width)
    high = round(scale * height)
    ensure(
        wide * high <= _LARGEST,
        f"--scale enlarges {width}x{height} to {wide}x{high}, which is too large to write",
        "a smaller --scale",
    )
    return wide, high


def write_sheet(
    file: str | None, rows: Sequence[Pixels], overwrite: bool, console: Console
) -> None:
    """Write a PNG with one row per input (`--grid`, `--uncertainty`), if it is wanted."""
    if file is None:
        return
    if not rows:
        console.note(f"{file} is not written: there is nothing to show")
        return
    from ..restoration.figures import sheet

    path = Path(file)
    make_folder(path.parent)
    atomic_write(path, encode_png(sheet(rows)), replace=overwrite)
    console.note(f"wrote {file}")
