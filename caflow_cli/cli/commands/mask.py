"""`caflow mask`, which finds damage."""

import time

from ...errors import CaflowError, memory_errors
from .. import options
from ..console import Console
from ..options import OUTPUT, Files, expanded, option


@expanded
def mask_command(
    images: options.Images,
    given: Files,
    console: Console,
    threshold: float = option(
        "--threshold T",
        "Between 0 and 1: a lower one marks more, and more that is no damage.",
        OUTPUT,
        default=0.5,
    ),
) -> None:
    """Find damage in photographs: dust, scratches, hairs, spots, cracks and tears.

    `old.jpg` becomes `old_mask.png`, of the same size: white where the image is damaged. Edit it in
    any program, then give it to `caflow inpaint --mask`, or let `--mask auto` find and fill at
    once. Without damage the mask is black.

    Example: caflow mask old.jpg -o mask.png
    """
    from ..plan import make_plan, report_failure, report_undone, write_output

    plan = make_plan(console, images, given)
    for job in plan.jobs:
        if given.dry_run or job.skipped or job.source.problem:
            report_undone(job, console)
            continue

        from ...damage import find_damage

        start = time.perf_counter()
        try:
            with memory_errors("crop the image"):
                mask = find_damage(job.source.read(console.note).seen(), threshold)
                data = plan.encoder.encode(mask)
                if not job.outputs:
                    console.binary(data)
                written = [path for path in job.outputs if write_output(path, data, given)]
        except CaflowError as error:
            report_failure(job, error, console)
            continue
        share = float((mask > 0).mean())
        console.detail(f"{job.name}: {share:.2%} marked")
        fields = {
            **job.names,
            "status": "ok",
            "share": round(share, 6),
            "outputs": [{"rank": 1, "path": str(path)} for path in written],
            "elapsed_s": round(time.perf_counter() - start, 3),
        }
        console.result(fields, map(str, written))
