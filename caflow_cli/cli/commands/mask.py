"""`caflow mask`, which finds damage."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ...errors import check_usage
from .. import options
from ..console import Console
from ..masking import Damage, Infrared, Marking, marked
from ..options import Files, expanded, option

if TYPE_CHECKING:
    from ...damage.find import Progress
    from ..plan import Job


@expanded
def mask_command(
    images: options.Images,
    files: Files,
    marking: Marking,
    console: Console,
    ir: bool = option(
        "--ir",
        "Find dust by the infrared channel of scans of color film: a fourth channel or a second "
        "page of a TIFF, or a file NAME_IR.tif.",
    ),
    threshold: float | None = option(
        "--threshold T",
        "Between 0 and 1 (default 0.5): lower finds more damage, with more false positives. With "
        "--ir, between 1 and 100 (default 4.5): how many deviations darker dust is.",
    ),
) -> None:
    """Find damage in photographs: dust, scratches, hairs, spots, cracks and tears.

    `old.jpg` becomes `old_mask.png`, of the same size: white where the image is damaged, black
    where it is not. Edit it in any program, then give it to `caflow inpaint --mask`, or let
    `--mask auto` find and fill at once.

    Example: caflow mask old.jpg -o mask.png
    """
    kind = Infrared if ir else Damage
    found = kind(kind.default if threshold is None else threshold)
    hint = f"between {kind.least} and {kind.most}, such as {kind.default:g}"
    check_usage(kind.allows(found.threshold), f"--threshold is {found.threshold:g}", hint)

    from ..output import report_undone, reported
    from ..plan import make_plan

    jobs = make_plan(console, images, files, marking=marking)
    with console.steps(console.command) as show:
        for place, job in enumerate(jobs):

            def step(done: int, total: int, place: int = place, name: str = job.name) -> None:
                show(place + done / total, len(jobs), name)

            with reported(job, console):
                if files.dry_run and not job.skipped:
                    job.source.read(console.about, files.alpha, ir, files.value_range)
                if files.dry_run or job.skipped or job.source.missing:
                    report_undone(job, console)
                else:
                    _write_mask(job, files, console, found, step)


def _write_mask(
    job: Job, files: Files, console: Console, found: Damage | Infrared, step: Progress
) -> None:
    """Write the mask of an image, and report the share that it marks."""
    from ...images import encode_png
    from ..output import write_marks, write_outputs

    start = time.perf_counter()
    is_scan = isinstance(found, Infrared)
    image = job.source.read(console.about, files.alpha, is_scan, files.value_range)
    mask = found.mask(image, job.source, step)
    paths = write_outputs(job, [encode_png(mask)], files, console)
    write_marks(job, image, mask, files, console)
    share = float((mask > 0).mean())
    elapsed = time.perf_counter() - start
    if share > 0:
        console.note(f"{job.name}: {marked(mask)}")
    else:
        end = "" if files.output else " --overwrite"  # of the black mask
        text = f"nothing is marked; {found.more(image, job.source, end)}"
        console.about(job.name, text, "nothing is marked")
    console.result(job.fields("ok", paths, share=round(share, 6), elapsed_s=round(elapsed, 3)))
