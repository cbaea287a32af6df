"""`caflow mask`, which finds damage."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ...errors import check_usage
from .. import options
from ..console import Console
from ..masking import LOW
from ..options import Files, expanded, option

if TYPE_CHECKING:
    from ..plan import Job


@expanded
def mask_command(
    images: options.Images,
    given: Files,
    console: Console,
    threshold: float = option(
        "--threshold T",
        "Between 0 and 1: lower finds more damage, with more false positives.",
        default=0.5,
    ),
) -> None:
    """Find damage in photographs: dust, scratches, hairs, spots, cracks and tears.

    `old.jpg` becomes `old_mask.png`, of the same size: white where the image is damaged, black
    where it is not. Edit it in any program, then give it to `caflow inpaint --mask`, or let
    `--mask auto` find and fill at once.

    Example: caflow mask old.jpg -o mask.png
    """
    check_usage(0 < threshold < 1, f"--threshold is {threshold:g}", "between 0 and 1, such as 0.5")

    from ..output import report_undone, reported
    from ..plan import make_plan

    jobs = make_plan(console, images, given).jobs
    with console.steps(console.command) as show:
        for place, job in enumerate(jobs):

            def step(done: int, total: int, place: int = place, name: str = job.name) -> None:
                show(place + done / total, len(jobs), name)

            with reported(job, console):
                if given.dry_run and not job.skipped:
                    job.source.header()
                if given.dry_run or job.skipped or job.source.missing:
                    report_undone(job, console)
                else:
                    _write_mask(job, given, console, threshold, step)


def _write_mask(
    job: Job,
    given: Files,
    console: Console,
    threshold: float,
    step: Callable[[int, int], object],
) -> None:
    """Write the mask of an image, and report the share that it marks."""
    from ...damage import find_damage
    from ...images import encode_png
    from ..output import write_output

    start = time.perf_counter()
    mask = find_damage(job.source.read(console.about), threshold, step)
    paths = write_output(job, encode_png(mask), given, console)
    share = float((mask > 0).mean())
    elapsed = time.perf_counter() - start
    if share > 0:
        console.note(f"{job.name}: {100 * share:.2f} % is marked")
    else:
        more = f"; --threshold {LOW} finds more" if threshold > LOW else ""
        console.about(job.name, f"nothing is marked{more}")
    console.result(job.fields("ok", paths, share=round(share, 6), elapsed_s=round(elapsed, 3)))
