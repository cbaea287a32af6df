"""`--interval`: what is said of a calibration, and the files of the intervals of a result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..images import encode_png
from ..inference import Candidates, mean_width
from .console import Console
from .options import Restoration
from .output import write_file
from .plan import Job

if TYPE_CHECKING:
    from ..model import CAFlow
    from ..sampling import Sampling


def note_interval(model: CAFlow, sampling: Sampling, console: Console) -> None:
    """Say which settings the calibration of a model determines, and what its intervals promise."""
    calibration = model.calibration
    assert calibration is not None
    console.note(
        f"intervals of {model.identity['id']}: {sampling.options}, as calibrated on "
        f"{calibration.images} images ({calibration.data}); on average over images of the same "
        f"kind, {100 * calibration.level:g} % of values lie within them"
    )


def write_interval(
    job: Job, result: Candidates, given: Restoration, console: Console
) -> Mapping[str, object]:
    """Write the ends of a result's intervals, if they are wanted; return their field for JSON."""
    if not job.interval:
        return {}
    if result.diverged or result.diverged_at is not None:
        console.about(job.name, "no interval, because a candidate is missing")
        return {}
    assert result.calibration is not None
    low, high = result.interval()
    fields: dict[str, object] = {
        "level": result.calibration.level,
        "lambda": result.calibration.lambd,
        "mean_width": mean_width(low, high),
    }
    for end, image in (("low", low), ("high", high)):
        if write_file(job, job.interval[end], encode_png(image), given, console):
            fields[end] = str(job.interval[end])
    return {"interval": fields}
