"""A job's request: its files are read, and its model, size and settings chosen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from ..config import HOLE
from ..errors import EXIT_FAILED, CaflowError, memory_errors
from ..hub.choice import NAMED, RULES, choose_model, hint_at_model
from ..images import Encoder, Input, Pixels, encode_png
from ..images.crop import WHOLE, cropped
from ..model import CAFlow
from ..names import MARKS
from ..restoration import EditOptions, Request, marks_over, prepare, seconds_to_draw
from ..tasks import ONE_PASS
from .asked import Asked
from .console import about
from .edits import Filling
from .masking import Found, Infrared, Masking, Transparent, marked
from .options import load_model
from .output import write_file
from .plan import Job

SMALLER = "crop the image"  # hint if memory runs out


@dataclass(frozen=True, eq=False)
class Prepared:
    """A job, and what came of reading it."""

    job: Job
    image: Input | None = None  # None: the job is skipped, or failed
    request: Request | None = None  # None: nothing is drawn
    reason: str = NAMED  # why the model was chosen
    error: CaflowError | None = None


@dataclass(frozen=True)
class Preparer:
    """Makes the requests of a command's jobs."""

    asked: Asked
    encoder: Encoder
    alone: bool  # whether there is one job, whose errors keep their exit code
    models: dict[str, CAFlow] = field(default_factory=dict)  # those loaded, by name

    def prepared(self, job: Job) -> Prepared:
        """Read a job; errors are stored, to be reported in order."""
        try:
            with memory_errors(SMALLER):
                return Prepared(job) if job.skipped else self._prepared(job)
        except CaflowError as error:
            if not self.alone:  # a wrong mask of one image does not stop the others
                error.exit_code = EXIT_FAILED
            return Prepared(job, error=error)

    def _prepared(self, job: Job) -> Prepared:
        asked = self.asked
        task = asked.task
        image = job.source.read(
            asked.console.about, asked.drawing.alpha, isinstance(job.mask, Infrared)
        )
        mask = None
        if asked.masking is not None and task.needs_mask:
            mask = self._mask(job, asked.masking, image)
            image = image.opaque() if isinstance(job.mask, Transparent) else image
        model, reason = self._model_for(job, image)
        values, place = image.image.values, WHOLE
        if asked.drawing.crop:
            image, mask, place = cropped(image, asked.drawing.part, mask)
        if mask is not None and not (mask >= HOLE).any():
            return Prepared(job, image, None, reason)
        settings = asked.settings(model.config, model.record, model.identity["id"])
        edits = asked.editing.wanted(values, job.companions, place)
        request = prepare(model, image, mask, settings, edits)
        self._check_size(request, image, edits or {})
        self._note(job, request, settings.most(model.config))
        return Prepared(job, request.input, request, reason)

    def _check_size(self, request: Request, image: Input, edits: EditOptions) -> None:
        """Raise CaflowError if a result is too large for its format, or for what is asked."""
        height, width = (request.task.factor * side for side in image.image.size)
        width, height = edits.get("size", (width, height))
        self.encoder.check_size(height, width)
        if request.is_large:
            self.asked.editing.check_large(request.task, image.image.values)
        if self.asked.beside is not None:
            self.asked.beside.check_size(request.size)

    def _mask(self, job: Job, masking: Masking, image: Input) -> Pixels:
        """Read or find the mask of an image; say what is found, and show it."""
        asked = self.asked
        mask = masking.read(job.mask, image, job.source)
        hint = "" if masking.marks else "; --marks FILE shows it"
        if isinstance(job.mask, Found) and mask.any():
            asked.console.note(f"{job.name}: {marked(mask, hint)}")
        if masking.marks and not asked.drawing.dry_run:
            hole = np.where(mask >= HOLE, np.uint8(255), np.uint8(0))
            data = encode_png(marks_over(image.image.shown, hole))
            write_file(job, job.beside[MARKS], data, asked.drawing, asked.console)
        return mask

    def _note(self, job: Job, request: Request, most: int) -> None:
        """Say what will not come out well, or which model would do better; and what costs time.

        `most` is M before it is reduced to what fits.
        """
        asked = self.asked
        task = request.task
        note = task.note(request.shown, request.mask)
        if not asked.drawing.model:
            note = hint_at_model(task.name, request.input) or note
        if note:
            asked.console.about(job.name, note)
        is_auto = isinstance(asked.editing, Filling) and asked.editing.grain == "auto"
        if is_auto and isinstance(job.mask, Found) and not request.edits:
            text = "no film grain was found, so the fill has none; --grain S adds some, of S levels"
            asked.console.about(job.name, text)
        if request.sampling.candidates != most:
            self._note_fewer(job, request, most)
        if math.prod(request.size) > ONE_PASS:
            self._note_tiles(job, request)

    def _note_fewer(self, job: Job, request: Request, most: int) -> None:
        """Say that fewer candidates than `most` are drawn."""
        m = request.sampling.candidates
        which = "one candidate" if m == 1 else f"{m} candidates"
        where = f"{len(request.parts)} windows" if request.mask is not None else "this size"
        text = f"{which} at {where}; -m {most} draws {most}"
        self.asked.console.about(job.name, text, "fewer candidates")

    def _note_tiles(self, job: Job, request: Request) -> None:
        """Say that a large image takes long; of one above 64 megapixels, how long."""
        m = request.sampling.candidates or 1
        times = f"{m} × " if m > 1 else ""
        text = f"draws {times}{math.prod(request.size) / 1e6:.1f} megapixels in tiles"
        if request.is_large and not self.asked.console.quiet:
            text += f", which takes {about(seconds_to_draw(request))}"
        self.asked.console.about(job.name, text, "drawn in tiles")

    def _model_for(self, job: Job, image: Input) -> tuple[CAFlow, str]:
        """The model for an image, and why it was chosen."""
        asked = self.asked
        if asked.drawing.model:
            return self.load(asked.drawing.model), NAMED
        name, reason = choose_model(image, asked.task.name)
        if any(rule.task == asked.task.name for rule in RULES):
            asked.console.note(f"{job.name}: {name}, {reason}")
        if name not in self.models and name != asked.default.id:
            asked.console.note(f"--model {asked.default.id} overrides {name}")
        return self.load(name), reason

    def load(self, name: str) -> CAFlow:
        """The model with that name, loaded once."""
        asked = self.asked
        if name not in self.models:
            is_default = name in (asked.drawing.model, asked.default.id)
            model = load_model(asked.default if is_default else name, asked.drawing.device)
            self.models[name] = model
            if asked.beside is not None:
                asked.beside.note(model, asked.drawing.sampling, asked.console)
        return self.models[name]
