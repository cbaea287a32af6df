"""`caflow calibrate`, and the calibration of a run."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from ...data.split import check_there
from ...errors import CaflowError, check_usage
from ...evaluation.settings import CalibrationImages
from ...records import Table
from ...sampling import Ensemble, Sampling
from .. import options
from ..console import Console
from ..loading import load_model
from ..options import MODEL, SAMPLING, Words, expanded, option
from ..training_report import FEW_TO_CALIBRATE

if TYPE_CHECKING:
    from ...checkpoint import Calibration
    from ...intervals import Coverage
    from ...model import CAFlow
    from ...training import RunConfig


_FEW = 100  # images; with fewer, λ depends much on which images they are
_VALIDATION = 200  # validation images of a run, at most


@dataclass(frozen=True, kw_only=True)
class Calibrating:
    """The options for what is calibrated."""

    model: str = option("--model MODEL", options.MODEL_NAME, default=...)
    level: float | None = option(
        "--level L", "Expected share of values within their intervals. Default: 0.9."
    )
    ensemble: Annotated[
        Ensemble,
        Words(
            SAMPLING,
            {
                "tau": "Temperature. Default: the model's.",
                "candidates": "Candidates for each image. Default: the model's, else 10.",
                "consistent": "superres: as for `caflow superres`.",
                "precision": "Calibrate for float32 (default) or bf16.",
            },
        ),
    ]
    device: str = options.device_option(MODEL, default="auto")


@expanded
def calibrate_command(
    images: CalibrationImages,
    calibrating: Calibrating,
    console: Console,
    output: str | None = option(
        "--output -o FILE",
        "FILE.safetensors: the model, with the calibration in its header. Or a manifest, "
        "FILE.json, with an entry for the model.",
    ),
    overwrite: bool = options.OVERWRITE,
    check: bool = option(
        "--check", "Measure the model's calibration on these images, and write nothing."
    ),
) -> None:
    """Calibrate the intervals of a superres or colorize model on images with known truth.

    `--interval` then writes, for every value of a restored image, an interval around the mean of
    all candidates. For images of the same kind as the n images of the calibration, on average 90 %
    (--level) of values lie within their intervals, whatever the model gets wrong. This is an
    average over images and values, not a promise for each image or pixel.

    Example: caflow calibrate --model run --data photos/ -m 40 -o calibrated.safetensors
    """
    sampling = Sampling(**calibrating.ensemble.ensemble)
    check_there(images.data)
    check_usage(
        check == (output is None),
        "calibrate writes a calibration, or measures one",
        "-o FILE.safetensors, or --check",
    )
    check_usage(
        not check or calibrating.level is None,
        "--check measures a calibration at its own level",
        "leave --level out, or calibrate with -o FILE.safetensors",
    )

    from ...hub.publish import check_calibration_output, store_calibration
    from ...hub.resolve import resolve

    found = resolve(calibrating.model)
    if output is not None:
        check_calibration_output(found, Path(output), overwrite)

    from ...intervals import calibrate, check_calibration

    model = load_model(found, calibrating.device)
    _note_held_out(model, images, console)
    start = time.perf_counter()
    with console.steps("drawing") as show:
        if output is None:
            coverage, failures = check_calibration(model, images, sampling, show)
            figures = asdict(coverage)
            lines = _lines(coverage)
        else:
            level = 0.9 if calibrating.level is None else calibrating.level
            calibration, failures = calibrate(model, images, sampling, level, show)
            store_calibration(calibration, found, Path(output), overwrite=overwrite)
            figures = {"output": output, **calibration.as_json()}
            lines = [output]
            _describe(calibration, console)
    figures["elapsed_s"] = round(time.perf_counter() - start, 3)
    console.result({"status": "ok", "model": model.identity, **figures}, lines)
    for error in failures.values():
        console.error(error)


def _note_held_out(model: CAFlow, images: CalibrationImages, console: Console) -> None:
    """Say if only a part of the images is used, because the model learned from the others."""
    from ...intervals import has_learned

    if images.split is None and has_learned(model, images.data):
        console.note(
            f"the model learned from a set named {Path(images.data).name!r}, so only images that "
            "it held out are used; --split all uses all"
        )


def _lines(coverage: Coverage) -> list[str]:
    """The coverage of a calibration as text."""
    low, high = coverage.quantiles
    error = f" ± {100 * coverage.standard_error:.1f}" if coverage.standard_error else ""
    return [
        f"coverage  {100 * coverage.coverage:.1f}{error} % of values, {coverage.images} images",
        f"images    {100 * low:.1f} to {100 * high:.1f} % (5 and 95 % quantiles)",
        f"width     {coverage.width:.1f} levels on average",
    ]


def _describe(calibration: Calibration, console: Console) -> None:
    """Say what a new calibration promises, and on how many images it rests."""
    console.note(
        f"λ {calibration.lambd:g}: intervals are {calibration.width:.1f} levels wide on average "
        f"over {calibration.images} images; for images of the same kind, on average "
        f"{100 * calibration.level:g} % of values lie within them"
    )
    if calibration.images < _FEW:
        console.note(f"with fewer than {_FEW} images, λ depends much on which images they are")


def has_calibration_of_start(run: RunConfig) -> bool | None:
    """Whether the model that a run starts from is calibrated; None if its task has no intervals."""
    from ...config import Config
    from ...tasks import get_task

    if run.task.values is not None or not get_task(Config(run.flow, run.task)).of_one_kind:
        return None
    return _calibration_of_start(run) is not None


def _calibration_of_start(run: RunConfig) -> Calibration | None:
    """The calibration of the model that a run starts from, if that has the same task and scale."""
    from ...checkpoint import calibration_in, read_info
    from ...hub.resolve import resolve, with_calibration

    if run.init_from is None:
        return None
    found = resolve(run.init_from)
    info = read_info(found.path)
    task = info.config.task
    if (task.name, task.factor) != (run.task.name, run.task.factor):
        return None
    before = calibration_in(with_calibration(found, info.training))
    return before and replace(before, data=f"{before.data}, before further training")


def calibrate_run(best: Path, run: RunConfig, console: Console) -> Table:
    """Calibrate intervals on validation images, for the default settings of the model, and write
    the record into its file. Returns it for JSON; nothing if the model cannot have intervals.
    """
    from ...hub.publish import store_calibration
    from ...hub.resolve import load, resolve
    from ...intervals import calibrate
    from ...restoration import task_of
    from ...training.sets import parts_of

    found = resolve(str(best))
    model = load(found)
    if not task_of(model).of_one_kind:
        return {}
    before = _calibration_of_start(run)
    if before is not None and parts_of(run)[0]["calibrate"] < FEW_TO_CALIBRATE:
        store_calibration(before, found, best, overwrite=True)
        console.note(
            f"intervals keep the calibration of {Path(run.init_from or '').name}: {before.data}, "
            f"{before.images} images"
        )
        return {"calibration": before.as_json()}
    side = run.task.size
    images = CalibrationImages(
        data=run.data,
        split="calibrate",
        limit=min(_VALIDATION, run.validation_images),
        crop=side if run.crop == "random" else None,
        size=None if run.crop == "random" else side,
    )

    def show(done: int, total: int) -> None:
        console.heartbeat(f"calibrating intervals: {done} of {total} images")

    try:
        calibration, _ = calibrate(model, images, progress=show)
    except CaflowError as error:  # such as too few images
        console.note(f"no intervals: {error.message}")
        return {}
    store_calibration(calibration, found, best, overwrite=True)
    _describe(calibration, console)
    return {"calibration": calibration.as_json()}
