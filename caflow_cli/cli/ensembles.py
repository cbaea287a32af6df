"""The ensembles of a command's fields: read, draw, write, report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import memory_errors
from ..fields import Field, check_place, encode_members
from ..fields.project import repeated
from ..fields.scale import check_range
from ..model import CAFlow
from ..restoration import Members, restore_field, values_of
from ..restoration.conditions import Progress
from ..restoration.figures import field_row, field_uncertainty
from ..sampling import Sampling
from .console import Console
from .measured import APART, Measured
from .options import Drawing
from .output import report_undone, reported, write_outputs
from .plan import Job
from .sheets import Sheets


@dataclass(frozen=True)
class Ensembles:
    """What a command's fields have in common: the model, and the options.

    Attributes:
        model: Of fields.
        sampling: With M and N.
        drawing, measured: The options.
        console: The command's.
        format: Of what is written, a value of `FIELD_FORMATS`.
        reason: Why the model was chosen.
    """

    model: CAFlow
    sampling: Sampling
    drawing: Drawing
    measured: Measured
    console: Console
    format: str
    reason: str


def run(asked: Ensembles, jobs: Sequence[Job]) -> None:
    """Draw, write and report the ensemble of every job."""
    console = asked.console
    drawing = asked.drawing
    sheets = Sheets(drawing, console)
    if asked.sampling.keep != asked.sampling.candidates:
        console.note(APART)
    with console.steps(console.command) as show:
        for done, job in enumerate(jobs):

            def step(passes: int, total: int, done: int = done, name: str = job.name) -> None:
                show(done + min(1.0, passes / total), len(jobs), name)

            step(0, 1)
            with reported(job, console, alone=len(jobs) == 1):
                if job.skipped or job.source.missing:
                    report_undone(job, console)
                    continue
                with memory_errors("crop the field", "this field"):
                    _draw(asked, job, sheets, step)
    if drawing.sheets and not drawing.dry_run:
        sheets.write()


def _draw(asked: Ensembles, job: Job, sheets: Sheets, step: Progress) -> None:
    """Draw, write and report the ensemble of a field."""
    console = asked.console
    start = time.perf_counter()
    field = _read(asked, job)
    m = asked.sampling.candidates or 1
    if asked.drawing.dry_run:
        model = asked.model.identity
        console.note(f"{job.name}: would draw {m} members, by {model['id']}")
        report_undone(job, console, model=model, model_reason=asked.reason, candidates=m)
        return
    found = restore_field(asked.model, field, asked.sampling, step)
    if found.predicted:
        text = f"{len(found.predicted)} of {m} members diverged, and are the guide's prediction"
        console.about(job.name, text, "members diverged")
    outputs = _write(asked, job, found)
    _add_rows(asked, job, found, sheets)
    line = {**found.as_json(), "outputs": outputs, "model_reason": asked.reason}
    elapsed = round(time.perf_counter() - start, 3)
    console.result({**job.names, "status": "ok", **line, "elapsed_s": elapsed})


def _read(asked: Ensembles, job: Job) -> Field:
    """Read a field; CaflowError if its members could not be drawn or written."""
    console = asked.console
    values = values_of(asked.model)
    field = job.source.read_field(asked.measured.nodata)
    check_place(field, asked.model.config.task.factor, asked.format)
    check_range(values, field)
    if not field.unit:
        text = f"states no unit, and is taken to be in {values.unit}"
        console.about(job.name, text, "no unit")
    if field.missing.any():
        console.about(job.name, f"missing values: {field.missing.sum()}", "missing values")
    return field


def _write(asked: Ensembles, job: Job, found: Members) -> list[dict[str, object]]:
    """Write the kept members; returns the outputs for JSON."""
    values, field, factor, seeds, record = found.file_of(found.kept)
    provenance = None if asked.drawing.no_provenance else record
    data = encode_members(asked.format, values, field, factor, seeds, provenance)
    paths = write_outputs(job, [data], asked.drawing, asked.console)
    return [{"path": path, "members": seeds} for path in paths.values()]


def _add_rows(asked: Ensembles, job: Job, found: Members, sheets: Sheets) -> None:
    """Add the rows of a field to the sheets that are wanted."""
    values = values_of(asked.model)
    scale = values.unit, values.zero
    name = Path(job.name).name
    tau = found.sampling.temperature
    if asked.drawing.grid:
        height, width = found.field.size
        coarse = repeated(found.field.values, asked.model.config.task.factor)
        cells = [(coarse, [name, f"{width} × {height}", f"τ {tau}"])]
        for member in found.kept:
            lines = [f"seed {member.seed}", *member.score.summary.split(", ")]
            cells.append((member.values, lines))
        sheets.grid.append(field_row(cells, *scale))
    if asked.drawing.uncertainty and len(found.drawn) > 1 and not found.predicted:
        sheets.uncertainty.append(field_uncertainty(name, found.values, *scale, tau))
