"""`caflow superres`, `colorize`, `inpaint` and `sample`, which restore or sample images."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ...errors import CaflowError, check_usage
from ...names import ENDS
from .. import options
from ..console import Console
from ..drawing import Drawing
from ..edits import Coloring, Editing, Filling, Scaling
from ..intervals import Intervals
from ..loading import info_of, unit_of_model
from ..masking import Masking
from ..options import expanded, option
from ..reading import Reading

if TYPE_CHECKING:
    from ..plan import Job


@expanded
def superres_command(
    images: options.Images,
    drawing: Drawing,
    intervals: Intervals,
    scaling: Scaling,
    reading: Reading,
    console: Console,
) -> None:
    """Enlarge images: draw M candidates, rank them by log-likelihood, write the best N.

    `face.png` becomes `face_superres.png`, with N > 1 `face_superres_01.png` and so on, best first.
    Images may have any size: with a ×4 model, 300×200 becomes 1200×800, or 600×400 with --scale 2.
    A high likelihood does not mean high quality: below temperature 1 it favors smooth images.
    A measured field (docs/fields.md) gets one file of all members.

    Example: caflow superres face.png --tau 0.5 -m 10 -n 1
    """
    _restore(console, images, drawing, scaling, intervals=intervals, reading=reading)


@expanded
def colorize_command(
    images: options.Images,
    drawing: Drawing,
    intervals: Intervals,
    coloring: Coloring,
    console: Console,
) -> None:
    """Colorize gray images: draw M candidates, rank them by log-likelihood, write the best N.

    `old.png` becomes `old_colorize.png`, with N > 1 `old_colorize_01.png` and so on, best first.
    Images may have any size. Colors are sampled at the model's scale, and the luminance of the
    input is kept exactly. A color image is converted to gray first.

    Example: caflow colorize old.png -m 10 -n 3 --hint '120,80=#4a6b3c'
    """
    _restore(console, images, drawing, coloring, intervals=intervals)


@expanded
def inpaint_command(
    images: options.Images,
    drawing: Drawing,
    masking: Masking,
    filling: Filling,
    console: Console,
) -> None:
    """Fill holes in images: draw M candidates, rank them by log-likelihood, write the best N.

    `photo.png` becomes `photo_inpaint.png`, with N > 1 `photo_inpaint_01.png` and so on, best
    first. Images and holes may have any size. Holes are filled window by window. Thin parts, such
    as scratches, are filled at native scale; thicker parts, depending on the model, from the edges
    inwards or downsampled. Pixels outside the mask are kept bit for bit. Without --mask, the
    transparent part of the image is filled, and the result is opaque. With --mask auto, the damage
    that `caflow mask` finds is filled; an image without damage is copied. Paint a little beyond
    the object that you want to remove, or use --grow 3. On scans of
    film, the fill gets the grain of its surroundings (--grain off leaves it smooth).

    Example: caflow inpaint photo.png --mask hole.png
    """
    _restore(console, images, drawing, filling, masking)


@expanded
def sample_command(
    drawing: Drawing,
    masking: Masking,
    reading: Reading,
    console: Console,
    cond: list[str] = option(
        "--cond PATH",
        "Condition image, such as a sketch; or a folder, a glob in quotes, or `-` for stdin. "
        "Repeatable.",
        default=...,
    ),
) -> None:
    """Sample from a model of any task, such as one trained on pairs of images.

    `sketch.png` becomes `sketch_sample.png`, with N > 1 `sketch_sample_01.png` and so on, best
    first. Images may have any size. A model trained on random crops samples at the image's own
    scale. For any other model, the image is first resized so that its shorter side has the size
    of the training images.

    Example: caflow sample --cond sketch.png --model maps-aerial -m 10 -n 3
    """
    check_usage(drawing.model is not None, "sample needs a model", "--model maps-aerial, or a file")
    _restore(console, cond, drawing, Editing(), masking, reading=reading)


RESTORING = (superres_command, colorize_command, inpaint_command, sample_command)


def _restore(
    console: Console,
    inputs: Sequence[str],
    drawing: Drawing,
    editing: Editing,
    masking: Masking | None = None,
    intervals: Intervals | None = None,
    reading: Reading | None = None,
) -> None:
    """Restore every input, with `reading` also measured fields.

    PyTorch is imported only after the plan has been checked.
    """
    from ..output import nothing_to_do
    from ..plan import make_plan

    beside = intervals if intervals is not None and intervals.interval else None
    if beside is not None:
        beside.check(drawing, editing.used)
    companions = editing.companions | (masking.companions if masking is not None else {})
    ends = ENDS if beside else ()
    named = None
    if reading is not None:
        named = unit_of_model(drawing.model, local=drawing.dry_run) is not None
    jobs = make_plan(console, inputs, drawing, companions, ends, masking, named)
    task = None if console.command == "sample" else console.command
    if nothing_to_do(jobs, console):
        return
    kinds = {job.of_field for job in jobs}
    if len(kinds) == 1:  # else each input is checked
        console.check_applies(*(["fields"] if True in kinds else ["images", "masks"]))
    how = Reading()
    if reading is not None and True in kinds:
        how = reading.for_model(drawing.model, local=drawing.dry_run)

    from ...hub.resolve import resolve

    default = resolve(drawing.model or _model_of(jobs, task, how), local=drawing.dry_run)
    info = info_of(default, task)

    from ..asked import Asked
    from ..report import report_planned

    asked = Asked(
        drawing=drawing,
        masking=masking,
        editing=editing,
        beside=beside,
        console=console,
        jobs=jobs,
        default=default,
        info=info,
        reading=how,
    )
    _ = asked.task  # which checks all options

    from ...devices import select_device
    from ..run import run

    select_device(drawing.device)  # a missing one is refused before any image is read
    if drawing.model:
        asked.load(default.id)
    if drawing.dry_run:
        report_planned(asked)
    else:
        run(asked)


def _model_of(jobs: Sequence[Job], task: str | None, how: Reading) -> str:
    """The model whose header options are checked against: that of the first field, if all inputs
    are fields, else the default of the task."""
    from ...hub.choice import choose_model

    if all(job.of_field for job in jobs):
        for job in jobs:
            with suppress(CaflowError):
                return choose_model(job.source.read_field(how), task).model
        return choose_model(jobs[0].source.read_field(how), task).model
    return choose_model(task=task).model
