"""What a restoring command is asked: its options, checked against the model, and its requests."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..checkpoint import CheckpointInfo, calibration_in
from ..config import HOLE, Config
from ..errors import CaflowError, check_usage, memory_errors
from ..hub.choice import JUDGED, NAMED, choose_model, hint_at_model
from ..hub.resolve import Resolved, with_calibration
from ..images import Input, Pixels
from ..images.crop import WHOLE, cropped
from ..names import MARKS, make
from ..sampling import Sampling, seed_of
from ..tasks import ONE_PASS, Task
from .console import Console, about
from .drawing import Drawing
from .edits import Editing
from .intervals import Intervals
from .loading import load_model
from .masking import SOME, File, Found, Infrared, Masking, Transparent, marked
from .output import SMALLER, write_marks
from .plan import Job
from .reading import Reading

if TYPE_CHECKING:
    from ..model import CAFlow
    from ..restoration import EditOptions, Request


_BLACK = 16  # grays of a mask that are as good as black, and as many as good as white


@dataclass(frozen=True, eq=False)
class Prepared:
    """A job, and what came of reading it."""

    job: Job
    image: Input | None = None  # None: the job is skipped, or failed
    request: Request | None = None  # None: nothing is drawn
    reason: str = NAMED  # why the model was chosen
    error: CaflowError | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options of a command, its plan, and the models of its images."""

    drawing: Drawing
    masking: Masking | None  # None: the command has no such options
    editing: Editing
    beside: Intervals | None  # what is written beside a result
    console: Console
    jobs: Sequence[Job]
    default: Resolved  # the model of images for which no other is chosen
    info: CheckpointInfo  # its header
    reading: Reading = Reading()  # of fields  # noqa: RUF009
    models: dict[str, CAFlow] = field(default_factory=dict)  # those loaded, by name

    @cached_property
    def task(self) -> Task:
        """The task of the model; CaflowError (exit 2) if the model does not support an option."""
        config = self.info.config
        record = with_calibration(self.default, self.info.training)
        sampling = self.settings(config, record, self.default.id)
        task = sampling.task(config)
        if self.masking is not None:  # without a mask, inpaint fills what is transparent
            transparent = task.needs_mask and self.console.command == task.command
            task.check_mask(self.masking.mask is not None or transparent)
        self.editing.check(task)
        check_usage(
            self.drawing.uncertainty is None or sampling.candidates != 1,
            "--uncertainty needs more than one candidate",
            "-m 10",
        )
        return task

    def settings(self, config: Config, record: Mapping[str, Any], id: str | None) -> Sampling:
        """The settings for a model: M is filled in for sheets, which compare candidates."""
        sampling = self.drawing.sampling
        if self.beside is not None:
            from ..intervals import calibrated

            hint = "leave --interval out, and take quantiles of the members"
            check_usage(config.task.values is None, "fields have no intervals", hint)
            sampling = calibrated(sampling, calibration_in(record), id)
        if self.drawing.sheets:
            sampling = replace(sampling, candidates=sampling.most(config))
        return sampling

    def prepared(self, job: Job) -> Prepared:
        """Read a job; errors are stored, to be reported in order."""
        try:
            with memory_errors(SMALLER):
                return Prepared(job) if job.skipped else self._prepared(job)
        except CaflowError as error:
            return Prepared(job, error=error)

    def _prepared(self, job: Job) -> Prepared:
        # Here, as below, because it imports PyTorch.
        from ..restoration import prepare, summary_of, with_chosen_tau

        task = self.task
        masks = ["masks"] if task.needs_mask else []
        self.console.check_applies(*(["fields"] if job.of_field else ["images", *masks]))
        image = self._read(job)
        mask = None
        if self.masking is not None and task.needs_mask and not job.of_field:
            mask = self._mask(job, self.masking, image)
            image = image.opaque() if isinstance(job.mask, Transparent) else image
        model, reason = self._model_for(job, image)
        values, place = image.image.values, WHOLE
        if self.drawing.crop:
            image, mask, place = cropped(image, self.drawing.crop, mask)
        if mask is not None and not (mask >= HOLE).any():
            return Prepared(job, image, None, reason)
        settings = self.settings(model.config, model.record, model.identity["id"])
        settings = replace(settings, seed=seed_of(job.number, settings.seed))
        edits = self.editing.wanted(values, job.companions, place)
        request = prepare(model, image, mask, settings, edits)
        self._check_size(job, request, edits or {})
        self._note(job, request, settings.most(model.config))
        request = with_chosen_tau(request)
        if request.chosen:
            self.console.note(f"{job.name}: {summary_of(request.chosen)}")
        return Prepared(job, request.input, request, reason)

    def _read(self, job: Job) -> Input:
        """Read the image or the field of a job."""
        source = job.source
        if job.of_field:
            return source.read_field(self.reading)
        drawing = self.drawing
        infrared = isinstance(job.mask, Infrared)
        return source.read(self.console.about, drawing.alpha, infrared, drawing.value_range)

    def _check_size(self, job: Job, request: Request, edits: EditOptions) -> None:
        """Raise CaflowError if a result is too large for its format, or for what is asked."""
        self.editing.check_size(request)
        height, width = (request.task.factor * side for side in request.input.image.size)
        width, height = edits.get("size", (width, height))
        job.encoder.check(request.input, height, width)
        if self.beside is not None:
            from ..intervals import check_one_pass

            check_one_pass(request.size)

    def _mask(self, job: Job, masking: Masking, image: Input) -> Pixels:
        """Read or find the mask of an image; say what is found, and show it."""
        mask = masking.read(job.mask, image, job.source)
        between = (mask > _BLACK) & (mask < 255 - _BLACK)
        if isinstance(job.mask, File) and between.mean() > 0.5:  # a photograph, as it seems
            colors = f"{job.mask.name} has {job.mask.colors():,} colors"
            self.console.about(job.name, f"{colors}; white is filled, from {HOLE} on")
        hole = np.where(mask >= HOLE, np.uint8(255), np.uint8(0))
        if (isinstance(job.mask, Found) or masking.snap) and mask.any():
            shown = masking.marks or self.shows(job, hole)
            hint = "" if shown else "; --marks FILE shows it"
            self.console.note(f"{job.name}: {marked(mask, hint)}")
        if not self.drawing.dry_run:
            write_marks(job, image, hole, self.drawing, self.console)
        return mask

    def shows(self, job: Job, mask: Pixels | None) -> str | None:
        """On a terminal, the command that shows the marks that were found in the only image, if
        they cover some of it and are not written."""
        alone = self.console.live and len(self.jobs) == 1 and job.source.path is not None
        if not (alone and isinstance(job.mask, Found)) or MARKS in job.beside or mask is None:
            return None
        if (mask >= HOLE).mean() <= SOME:
            return None
        marks = job.source.folder / f"{make(job.source.stem, MARKS)}.png"
        return f"{job.mask.command(job.name)} --marks {shlex.quote(str(marks))}"

    def _note(self, job: Job, request: Request, most: int) -> None:
        """Say what will not come out well, or which model would do better; and what costs time.

        `most` is M before it is reduced to what fits.
        """
        task = request.task
        hint = None if self.drawing.model else hint_at_model(task.name, request.input)
        note = hint or request.note
        for text in filter(None, (note, self.editing.note(request, isinstance(job.mask, Found)))):
            self.console.about(job.name, text)
        if request.sampling.candidates != most:
            self._note_fewer(job, request, most)
        if math.prod(request.size) > ONE_PASS:
            self._note_tiles(job, request)

    def _note_fewer(self, job: Job, request: Request, most: int) -> None:
        """Say that fewer candidates than `most` are drawn."""
        m = request.sampling.candidates
        which = "one candidate" if m == 1 else f"{m} candidates"
        where = "this size" if request.mask is None else f"{len(request.parts)} windows"
        text = f"{which} at {where}; -m {most} draws {most}"
        self.console.about(job.name, text, "fewer candidates")

    def _note_tiles(self, job: Job, request: Request) -> None:
        """Say that a large image takes long; of one above 64 megapixels, how long."""
        m = request.sampling.candidates or 1
        times = f"{m} × " if m > 1 else ""
        text = f"draws {times}{math.prod(request.size) / 1e6:.1f} megapixels in tiles"
        if request.is_large and not self.console.quiet:
            from ..restoration import seconds_to_draw

            text += f", which takes {about(seconds_to_draw(request))}"
        self.console.about(job.name, text, "drawn in tiles")

    def _model_for(self, job: Job, image: Input) -> tuple[CAFlow, str]:
        """The model for an image, and why it was chosen."""
        if self.drawing.model:
            return self.load(self.default.id), NAMED
        name, reason = choose_model(image, self.task.name)
        if self.task.name == JUDGED:
            self.console.note(f"{job.name}: {name}, {reason}")
        return self.load(name), reason

    def load(self, name: str) -> CAFlow:
        """The model with that name, loaded once."""
        if name not in self.models:
            resolved: str | Resolved = self.default
            if name != self.default.id:
                self.console.note(f"--model {self.default.id} overrides {name}")
                resolved = name
            model = load_model(resolved, self.drawing.device)
            self.models[name] = model
            if self.beside is not None:
                self.beside.note(model, self.drawing.sampling, self.console)
        return self.models[name]
