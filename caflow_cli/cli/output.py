"""What a command writes and reports of its jobs: files, sheets over all inputs, failures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EXIT_FAILED, CaflowError, ensure, usage_error
from ..images import Header, atomic_write, encode_png, make_folder
from ..tasks.base import check_same_size
from .options import Files
from .plan import Job

if TYPE_CHECKING:
    from ..tasks import Pixels
    from .console import Console

_LARGEST = 2**28  # maximum pixels of a resized image

Scale = float | tuple[int, int]  # a factor, or the width and height of a box to fit into


def report_failure(job: Job, error: CaflowError, console: Console) -> None:
    """Report the error of one job. If its exit code is not 1, raise it, which ends all jobs."""
    if error.exit_code != EXIT_FAILED:
        raise error
    if job.name not in error.message:
        error.message = f"{job.name}: {error.message}"
    console.failure(job.names, error)


def report_undone(
    job: Job,
    console: Console,
    check: Callable[[Job, Header], Mapping[str, object]] = lambda job, header: {},
    alone: bool = False,
) -> None:
    """Report a job that is not executed: planned, skipped or, by its files' headers, failed.

    `check` gets the header of the input, and returns fields of the JSON line. A CaflowError whose
    exit code is not 1 is raised if the job is alone.
    """
    fields: Mapping[str, object] = {}
    try:
        if not job.skipped:
            fields = _check_headers(job, check)
    except CaflowError as error:
        if not alone:
            error.exit_code = EXIT_FAILED
        report_failure(job, error, console)
        return
    paths = {rank: str(path) for rank, path in enumerate(job.outputs, 1)}
    if job.skipped and not console.json:
        console.about(job.name, f"skipped, {paths[1]} exists", "skipped")
    if job.skipped:
        console.result(job.fields("skipped", paths))
    else:
        console.result(job.fields("planned", paths, **fields), map(str, job.paths))


def _check_headers(
    job: Job, check: Callable[[Job, Header], Mapping[str, object]]
) -> Mapping[str, object]:
    """The fields that `check` returns; CaflowError if the headers show that files do not fit."""
    header = job.source.check()
    for what, source in (("the mask is", job.mask), ("the hints are", job.hints)):
        other = None if source is None else source.check()
        if header is not None and other is not None:
            check_same_size(what, other.size, header.size)
    return {} if header is None else check(job, header)


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


class Sheet:
    """A PNG with one row per input, written at the end (`--grid`, `--uncertainty`, `--map`); or the
    mask of one input (`--save-mask`). Without a path, nothing is drawn.
    """

    def __init__(self, path: Path | None, overwrite: bool) -> None:
        self.path = path
        self._overwrite = overwrite
        self._rows: list[Pixels] = []

    def add(self, draw: Callable[[], Pixels]) -> None:
        """Draw a row, if the sheet was requested."""
        if self.path is not None:
            self._rows.append(draw())

    def write(self, console: Console) -> None:
        """Write the rows, if there are any; a mask, (H, W), is written as it is."""
        if self.path is None:
            return
        if not self._rows:
            console.note(f"{self.path} is not written: there is nothing to show")
            return
        from ..inference.figures import sheet

        image = sheet(self._rows) if self._rows[0].ndim == 3 else self._rows[0]
        make_folder(self.path.parent)
        atomic_write(self.path, encode_png(image), replace=self._overwrite)
        console.note(f"wrote {self.path}")
