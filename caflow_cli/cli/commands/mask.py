"""`caflow mask`, which finds damage."""

import time

from ...errors import CaflowError, memory_errors
from .. import options
from ..console import Console
from ..options import Files, expanded, option


@expanded
def mask_command(
    images: options.Images,
    given: Files,
    console: Console,
    threshold: float = option(
        "--threshold T",
        "From 0 to 1: a lower one marks more, and more that is no damage.",
        default=0.5,
        min=0.0,
        max=1.0,
    ),
) -> None:
    """Find damage in photographs: dust, scratches, hairs, spots, cracks and tears.

    `old.jpg` becomes `old_mask.png`, of the same size: white where the image is damaged, black
    where it is not. Edit it in any program, then give it to `caflow inpaint --mask`, or let
    `--mask auto` find and fill at once.

    Example: caflow mask old.jpg -o mask.png
    """
    from ..plan import make_plan, report_failure, report_undone, write_output

    for job in make_plan(console, images, given).jobs:
        if given.dry_run or job.skipped or job.source.problem:
            report_undone(job, console)
            continue

        from ...damage import find_damage
        from ...images import encode_png

        start = time.perf_counter()
        try:
            with memory_errors("crop the image"):
                mask = find_damage(job.source.read(console.note), threshold)
                paths = write_output(job, encode_png(mask), given, console)
        except CaflowError as error:
            report_failure(job, error, console)
            continue
        share, elapsed = float((mask > 0).mean()), time.perf_counter() - start
        console.detail(f"{job.name}: {share:.2%} marked, {elapsed:.2f} s")
        figures = {"share": round(share, 6), "elapsed_s": round(elapsed, 3)}
        console.result(job.fields("ok", paths, **figures))
