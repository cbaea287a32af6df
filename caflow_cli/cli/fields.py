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
from .options import Drawing, read_config

if TYPE_CHECKING:
    from ..config import Config
    from ..hub.choice import Choice
    from ..sampling import Sampling
    from .edits import Scaling
    from .intervals import Intervals
    from .masking import Masking

_EXAMPLE = "example:"


def draw_fields(
    console: Console,
    inputs: Sequence[str],
    drawing: Drawing,
    measured: Measured,
    context: typer.Context,
    others: Scaling | Masking,
    intervals: Intervals | None = None,
) -> bool:
    """Draw and write an ensemble for each input, if these are fields; return whether they are.

    Args:
        console: The command's.
        inputs: As typed.
        drawing, measured: The options.
        context: Says whether -n is given; else it is M.
        others, intervals: Further options, which are not for fields.

    Raises:
        CaflowError: (exit 2) as for `find_model`, if the plan cannot work, or for options that
            images do not have.
    """
    choice = find_model(inputs, drawing.model, local=drawing.dry_run)
    if choice is None:
        hint = "leave it out, or --model of a model of fields (docs/fields.md)"
        check_usage(not measured.used, f"{', '.join(measured.used)}: for measured fields", hint)
        return False
    _refuse(drawing, others, intervals)
    _draw(choice, console, inputs, drawing, measured, context)
    return True


def _draw(
    choice: Choice,
    console: Console,
    inputs: Sequence[str],
    drawing: Drawing,
    measured: Measured,
    context: typer.Context,
) -> None:
    """Draw and write an ensemble for each input, by a model of fields."""
    from ..fields import FORMATS
    from ..hub.resolve import resolve
    from .output import nothing_to_do
    from .plan import make_plan

    found = resolve(choice.model, local=drawing.dry_run)
    config = read_config(found, None if console.command == "sample" else console.command)
    sampling = _filled(drawing, measured, config, context)
    format = _format(drawing, inputs)
    suffixes = [suffix for suffix, name in FORMATS.items() if name == format]
    one = replace(drawing, format=None, sampling=replace(sampling, keep=1))  # a file for each field
    jobs = make_plan(console, inputs, one, form=(format, suffixes)).jobs
    if nothing_to_do(jobs, console):
        return

    from .ensembles import Ensembles, run
    from .options import load_model

    model = load_model(found, drawing.device)
    run(Ensembles(model, sampling, drawing, measured, console, format, choice.reason), jobs)


def _filled(
    drawing: Drawing, measured: Measured, config: Config, context: typer.Context
) -> Sampling:
    """The settings for a model, with M and N; CaflowError (exit 2) if they do not fit."""
    sampling = drawing.sampling
    _ = sampling.task(config)  # which checks them
    m = sampling.most(config)
    typed = source(context, "keep") != "DEFAULT"
    sampling = replace(sampling, candidates=m, keep=sampling.keep if typed else m)
    sampling.check()
    has_quantiles = bool(measured.quantiles)
    needs = ["--quantile"] * has_quantiles + ["--uncertainty"] * bool(drawing.uncertainty)
    check_usage(m > 1 or not needs, f"{' and '.join(needs)}: more than one member", "-m 20")
    check_usage(
        sampling.keep == m or not has_quantiles,
        "--quantile is of all M members, and -n of fewer",
        "leave -n out",
    )
    return sampling


def find_model(inputs: Sequence[str], model: str | None, *, local: bool = False) -> Choice | None:
    """The model for the fields that inputs are; None if they are images.

    Without a named model, fields are NetCDF files, arrays of NumPy, and TIFFs that state a unit.

    Raises:
        CaflowError: (exit 2) a field has a unit for which no model is bundled, or none; or a model
            of images is named for one.
    """
    fields = [name for name in inputs if _is_field(name)]
    if model is not None:
        return _named(model, fields, local)
    if not fields:
        return None
    from ..hub.choice import choose_field_model

    return choose_field_model(*_first_unit(fields))


def _named(model: str, fields: Sequence[str], local: bool) -> Choice | None:
    """The named model, if it is of fields; CaflowError (exit 2) if one of these states its unit."""
    from ..fields import stated_unit
    from ..hub.choice import NAMED, Choice
    from ..hub.resolve import resolve
    from ..model import read_info

    with suppress(CaflowError):  # which is reported in its turn
        found = resolve(model, local=local)
        if read_info(found.path).config.task.values is not None:
            return Choice(model, NAMED)
    for name in fields:
        if unit := stated_unit(_path(name)):
            raise usage_error(
                f"{name!r} is a measured field in {unit}, and {model!r} is a model of images",
                f"--model of a model of fields in {unit}, or save it as an image of 16 bits",
            )
    return None


def _path(name: str) -> Path:
    from ..assets import example_path

    is_example = name.startswith(_EXAMPLE)
    return example_path(name.removeprefix(_EXAMPLE)) if is_example else Path(name)


def _is_field(name: str) -> bool:
    """Whether an input is a field, as far as its name says, or a TIFF its unit."""
    from ..fields import format_of_field, stated_unit

    path = _path(name)
    format = format_of_field(path)
    return format in ("netcdf", "npy") or (format == "tiff" and stated_unit(path) is not None)


def _first_unit(names: Sequence[str]) -> tuple[str, str]:
    """The first field that can be read, and its unit; the last error if none can."""
    from ..fields import stated_unit
    from ..images import no_file

    for name in names:
        with suppress(CaflowError):
            unit = stated_unit(_path(name))
            if unit is not None:
                return name, unit
    stated_unit(_path(names[-1]))
    raise no_file(names[-1])


def _refuse(drawing: Drawing, others: Scaling | Masking, intervals: Intervals | None) -> None:
    """Raise CaflowError (exit 2) for options that fields do not have."""
    interval = intervals is not None and intervals.interval
    reason = f"{NINE}, and no model of fields has a calibration"
    check_usage(not interval, reason, "--quantile 0.05,0.5,0.95")
    given = {
        "--scale": getattr(others, "scale", None),
        "--mask": getattr(others, "mask", None),
        "--consistent": drawing.sampling.consistent,
        "--crop": drawing.crop,
        "--alpha": drawing.alpha,
        "--quality": drawing.quality is not None,
        "--keep-metadata": drawing.keep_metadata,
        "--keep-place": drawing.keep_place,
    }
    used = [name for name, value in given.items() if value]
    check_usage(not used, f"{' and '.join(used)}: not for fields", "leave it out")


def _format(drawing: Drawing, inputs: Sequence[str]) -> str:
    """The format of outputs: as stated, as the suffix of -o says, or that of the first input."""
    from ..fields import FORMATS, format_of_field

    known = sorted({*FORMATS.values()})
    format = drawing.format
    if format is None:
        of_output = format_of_field(Path(drawing.output)) if drawing.output else None
        return of_output or format_of_field(_path(inputs[0])) or "tiff"
    hint = f"--format {' or '.join(known)}"
    check_usage(format in known, f"fields are not written as {format!r}", hint)
    return format
