"""The one loop of `superres`, `colorize`, `inpaint` and `sample`: read, draw, write, report."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, islice
from typing import Any

from ..errors import CaflowError, memory_errors
from ..images import Encoder
from ..restoration import Candidates, draw, encode, requests_at_a_time
from ..restoration.conditions import Progress
from ..tasks import ONE_PASS
from .asked import Asked, Prepared
from .console import Console, about
from .masking import Damage, Infrared
from .output import SMALLER, report_undone, reported, write_outputs
from .report import report_result, restored_line
from .sheets import Sheets

_MOST = 32  # consecutive images that may share a batch
_HELD = 2**22  # pixels of all candidates of images that wait for their batch


def run(asked: Asked) -> None:
    """Read, draw, write and report every job."""
    jobs = asked.jobs
    console = asked.console
    sheets = Sheets(asked.drawing, console, asked.beside)
    done = 0
    with console.steps(console.command) as show:
        for batch in _in_batches(map(asked.prepared, jobs)):
            start = time.perf_counter()
            step = None
            if not console.quiet:
                step = _progress(batch, done, len(jobs), show, console)
            results = _drawn(batch, step)
            elapsed = round((time.perf_counter() - start) / len(batch), 3)
            for prepared, found in zip(batch, results, strict=True):
                # A wrong mask of one image does not stop the others.
                with reported(prepared.job, console, alone=len(jobs) == 1):
                    _finish(prepared, found, asked, sheets, elapsed)
            done += len(batch)
    if asked.drawing.sheets:
        sheets.write()
    drawn = prepared.request if not console.failed else None
    if drawn and (command := asked.shows(prepared.job, drawn.mask)):
        console.note(f"`{command}` shows what was filled")


def _progress(
    batch: Sequence[Prepared], done: int, jobs: int, show: Callable[..., None], console: Console
) -> Progress:
    """What shows how much of a batch is drawn, after `done` of all jobs; and how long an image
    takes, after its first tile, unless that was said before.
    """
    start = time.perf_counter()
    name = batch[0].job.name
    request = batch[0].request
    untold = request is not None and math.prod(request.size) > ONE_PASS and not request.is_large

    def step(passes: int, total: int) -> None:
        show(done + len(batch) * passes / total, jobs, name)
        if passes == 1 and untold:
            text = f"takes {about((time.perf_counter() - start) * total)}"
            console.about(name, text, "times of images in tiles")

    step(0, 1)
    return step


def _in_batches(items: Iterable[Prepared]) -> Iterator[list[Prepared]]:
    """Group consecutive jobs that are drawn together: of one model, size and settings."""
    for (most, *_), group in groupby(items, _kind):
        while batch := [*islice(group, most)]:
            yield batch


def _kind(item: Prepared) -> tuple[Any, ...]:
    """How many such images may share a batch, and what they have in common."""
    request = item.request
    if request is None:
        return (1,)
    m = request.sampling.candidates or 1
    pixels = m * max(math.prod(request.image.shape[:2]), math.prod(request.size))
    most = min(_MOST, requests_at_a_time(request.size, m), max(1, _HELD // pixels))
    settings = replace(request.sampling, seed=0)  # each field of a folder has its own
    return most, request.model, request.size, settings, request.depth


def _drawn(
    batch: Sequence[Prepared], step: Progress | None
) -> Sequence[Candidates | CaflowError | None]:
    """Draw candidates for a batch; if one fails, draw them one by one."""
    requests = [item.request for item in batch if item.request is not None]
    if not requests:
        return [item.error for item in batch]
    try:
        with memory_errors(SMALLER):
            *_, found = draw(list(map(Candidates, requests)), encode(requests, step))
            return found
    except CaflowError as error:
        if len(batch) == 1:
            return [error]
        return [result for item in batch for result in _drawn([item], step)]


def _finish(
    prepared: Prepared,
    found: Candidates | CaflowError | None,
    asked: Asked,
    sheets: Sheets,
    elapsed: float,
) -> None:
    """Write and report a job; CaflowError if it failed."""
    job = prepared.job
    console = asked.console
    encoder = job.encoder
    if isinstance(found, CaflowError):
        raise found
    if prepared.image is None:
        report_undone(job, console)
        return
    for loss in encoder.losses(prepared.image):
        console.about(job.name, loss)
    if found is None:
        _copy(prepared, asked)
        return
    paths = write_outputs(job, found.files(encoder), asked.drawing, console)
    fields: dict[str, object] = {"elapsed_s": elapsed}
    if asked.beside is not None:
        fields |= asked.beside.write(job, found, asked.drawing, console)
    if asked.drawing.sheets:
        sheets.add(job.name, found)
    report_result(job, found, console)
    if console.json:
        console.result(restored_line(prepared, found, paths, fields))


def _copy(prepared: Prepared, asked: Asked) -> None:
    """Write an image in which nothing is to be filled, as it is."""
    job = prepared.job
    assert prepared.image is not None
    text = hint = "nothing to fill, so the image is copied"
    if prepared.image.crop:
        text = hint = "nothing to fill in this part, so it is copied"
    elif isinstance(job.mask, Damage | Infrared):
        hint = f"{text}; {job.mask.more(prepared.image, job.source)}"
    asked.console.about(job.name, hint, text)
    assert isinstance(job.encoder, Encoder)
    data = job.encoder.encode(prepared.image)
    paths = write_outputs(job, [data], asked.drawing, asked.console)
    asked.console.result(job.fields("unchanged", paths))
