"""Measured fields on the command line: the choice of their model, and their plan.

`ensembles` then draws and writes them, and `field_scores` scores them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ..errors import CaflowError, check_usage, usage_error
from .config import source
from .console import Console
from .measured import NINE, Measured
from .options import Drawing, info_of

if TYPE_CHECKING:
    from ..config import Config
    from ..hub.choice import Choice
    from ..sampling import Sampling
    from .edits import Scaling
    from .inputs import InputImage
    from .intervals import Intervals
    from .masking import Masking


def draw_fields(
    console: Console,
    inputs: Sequence[str],
    drawing: Drawing,
    measured: Measured,
    context: typer.Context,
    others: Scaling | Masking,
    intervals: Intervals | None = None,
    *,
    choice: Choice,
) -> None:
    """Draw and write an ensemble for each input.

    Args:
        console: The command's.
        inputs: As typed.
        drawing, measured: The options.
        context: Says whether -n is given; else it is M.
        others, intervals: Further options, which are not for fields.
        choice: Of the model, by `find_model`.

    Raises:
        CaflowError: (exit 2) if the plan cannot work, or for options that are not for fields.
    """
    _refuse(drawing, others, intervals)
    from ..fields import FIELD_FORMATS
    from ..hub.resolve import resolve
    from .inputs import find_inputs
    from .output import nothing_to_do
    from .plan import make_plan

    found = resolve(choice.model, local=drawing.dry_run)
    config = info_of(found, None if console.command == "sample" else console.command).config
    sampling = _filled(drawing, config, context)
    first = find_inputs(inputs, recursive=drawing.recursive, taken=FIELD_FORMATS)[0]
    format = _format(drawing, first.suffix)
    suffixes = [suffix for suffix, name in FIELD_FORMATS.items() if name == format]
    one = replace(drawing, format=None, sampling=replace(sampling, keep=1))  # a file for each field
    jobs = make_plan(console, inputs, one, form=(format, suffixes)).jobs
    if not nothing_to_do(jobs, console):
        from .ensembles import Ensembles, run
        from .options import load_model

        model = load_model(found, drawing.device)
        run(Ensembles(model, sampling, drawing, measured, console, format, choice.reason), jobs)


def _filled(drawing: Drawing, config: Config, context: typer.Context) -> Sampling:
    """The settings for a model, with M and N; CaflowError (exit 2) if they do not fit."""
    sampling = drawing.sampling
    _ = sampling.task(config)  # which checks them
    m = sampling.most(config)
    typed = source(context, "keep") != "DEFAULT"
    sampling = replace(sampling, candidates=m, keep=sampling.keep if typed else m)
    sampling.check()
    check_usage(m > 1 or not drawing.uncertainty, "--uncertainty: more than one member", "-m 20")
    return sampling


def find_model(
    inputs: Sequence[str], model: str | None, recursive: bool = False, *, local: bool = False
) -> Choice | None:
    """The model for the fields that inputs are; None if they are images.

    Without a named model, fields are those of `find_fields`.

    Raises:
        CaflowError: (exit 2) a field has a unit for which no model is bundled, or none; or a model
            of images is named for one.
    """
    from ..checkpoint import read_info
    from ..hub.choice import NAMED, Choice, choose_field_model
    from ..hub.resolve import resolve

    fields = find_fields(inputs, recursive)
    if model is None:
        return choose_field_model(*_first_unit(fields)) if fields else None
    with suppress(CaflowError):  # which is reported in its turn
        if read_info(resolve(model, local=local).path).config.task.values is not None:
            return Choice(model, NAMED)
    for field in fields:
        if field.unit:
            raise usage_error(
                f"{field.name!r} is a measured field in {field.unit}, and {model!r} is a model of "
                "images",
                f"--model of a model of fields in {field.unit}, or save it as an image of 16 bits",
            )
    return None


def find_fields(inputs: Sequence[str], recursive: bool = False) -> list[InputImage]:
    """The inputs that are fields: NetCDF files, arrays of NumPy, and TIFFs that state a unit.

    Those in folders count only if no folder has other images.
    """
    from ..fields import FIELD_FORMATS
    from .inputs import IMAGES, find_inputs

    def is_field(file: InputImage) -> bool:
        format = FIELD_FORMATS.get(file.suffix.lower())
        return format in ("netcdf", "npy") or (format == "tiff" and file.unit is not None)

    found = find_inputs(inputs, recursive=recursive, taken={*IMAGES, *FIELD_FORMATS})
    are_images = any(file.found and file.suffix.lower() not in FIELD_FORMATS for file in found)
    return [file for file in found if not (file.found and are_images) and is_field(file)]


def _first_unit(fields: Sequence[InputImage]) -> tuple[str, str]:
    """The first field that can be read, and its unit; the last error if none can."""
    from ..images import no_file

    for field in fields:
        with suppress(CaflowError):
            if (unit := field.unit) is not None:
                return field.name, unit
    _ = fields[-1].unit  # which raises, unless there is no such file
    raise no_file(fields[-1].name)


def _refuse(drawing: Drawing, others: Scaling | Masking, intervals: Intervals | None) -> None:
    """Raise CaflowError (exit 2) for options that fields do not have."""
    interval = intervals is not None and intervals.interval
    reason = f"{NINE}, and no model of fields has a calibration"
    check_usage(not interval, reason, "leave it out, and take quantiles of the members")
    given = {
        "--scale": getattr(others, "scale", None),
        "--mask": getattr(others, "mask", None),
        "--snap": getattr(others, "snap", None),
        "--consistent": drawing.sampling.consistent,
        "--crop": drawing.crop,
        "--alpha": drawing.alpha,
        "--quality": drawing.quality is not None,
        "--keep-metadata": drawing.keep_metadata,
        "--keep-place": drawing.keep_place,
    }
    used = [name for name, value in given.items() if value]
    check_usage(not used, f"{' and '.join(used)}: not for fields", "leave it out")


def _format(drawing: Drawing, suffix: str) -> str:
    """The format of outputs: as stated, as -o says, or that of inputs with a suffix."""
    from ..fields import FIELD_FORMATS, format_of_field

    format = drawing.format
    if format is None:
        of_output = format_of_field(Path(drawing.output)) if drawing.output else None
        return of_output or FIELD_FORMATS.get(suffix.lower(), "tiff")
    known = sorted({*FIELD_FORMATS.values()})
    hint = f"--format {' or '.join(known)}"
    check_usage(format in known, f"fields are not written as {format!r}", hint)
    return format
