"""Intervals: what is said of a calibration, that of a run, and the files of `--interval`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CaflowError
from ..images import encode_png
from ..restoration import Candidates, mean_width, task_of
from .console import Console
from .options import Restoration
from .output import write_file
from .plan import Job

if TYPE_CHECKING:
    from ..model import CAFlow, Calibration
    from ..sampling import Sampling
    from ..training import RunConfig

_FEW = 100  # images; with fewer, λ depends much on which images they are
_VALIDATION = 200  # validation images of a run, at most


def note_interval(model: CAFlow, sampling: Sampling, console: Console) -> None:
    """Say which settings the calibration of a model determines, and what its intervals promise."""
    calibration = model.calibration
    assert calibration is not None
    console.note(
        f"intervals of {model.identity['id']}: {sampling.options}, as calibrated on "
        f"{calibration.images} images ({calibration.data}); on average over images of the same "
        f"kind, {100 * calibration.level:g} % of values lie within them"
    )


def describe_calibration(calibration: Calibration, console: Console) -> None:
    """Say what a new calibration promises, and on how many images it rests."""
    console.note(
        f"λ {calibration.lambd:g}: intervals are {calibration.width:.1f} levels wide on average "
        f"over {calibration.images} images; for images of the same kind, on average "
        f"{100 * calibration.level:g} % of values lie within them"
    )
    if calibration.images < _FEW:
        console.note(f"with fewer than {_FEW} images, λ depends much on which images they are")


def calibrate_run(best: Path, run: RunConfig, console: Console) -> dict[str, Any]:
    """Calibrate intervals on validation images, for the default settings of the model, and write
    the record into its file. Returns it for JSON; nothing if the model cannot have intervals.
    """
    from ..evaluation import CalibrationImages, calibrate
    from ..hub.publish import store_calibration
    from ..hub.resolve import load, resolve

    found = resolve(str(best))
    model = load(found)
    if not task_of(model).has_intervals:
        return {}
    images = CalibrationImages(
        data=run.data,
        split="calibrate",
        limit=min(_VALIDATION, run.validation_images),
        size=run.task.size,
        crop=run.crop == "random",
    )

    def show(done: int, total: int) -> None:
        console.heartbeat(f"calibrating intervals: {done} of {total} images")

    try:
        calibration, _ = calibrate(model, images, progress=show)
    except CaflowError as error:  # such as too few images
        console.note(f"no intervals: {error.message}")
        return {}
    store_calibration(calibration, found, best, overwrite=True)
    describe_calibration(calibration, console)
    return {"calibration": calibration.as_json()}


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
