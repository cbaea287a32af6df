"""The one loop of `superres`, `colorize`, `inpaint` and `sample`: read, draw, write, report."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..config import HOLE, Extent
from ..devices import select_device
from ..errors import EXIT_FAILED, CaflowError, memory_errors
from ..hub.choice import NAMED, RULES, choose_model, hint_at_model
from ..hub.resolve import Resolved, calibration_of
from ..images import Input
from ..model import CAFlow, Calibration, read_info
from ..restoration import (
    Candidates,
    domain_warning,
    grid_row,
    interval_chart,
    requests_at_a_time,
    restore_images,
    seen_by,
    uncertainty_chart,
)
from ..sampling import Sampling
from ..tasks import ONE_PASS, Pixels, Task, check_one_pass, saturate
from .checks import check_settings, drawn_size
from .coloring import Coloring
from .console import Console
from .intervals import note_interval, write_interval
from .masking import LOW, Masking
from .options import Restoration, load_model
from .output import Scale, report_undone, reported, scaled, write_output, write_sheet
from .plan import Job, Plan
from .records import restored_fields

_MOST = 32  # consecutive images that may share a batch
_HELD = 2**22  # pixels of all candidates of images that wait for their batch
_SMALLER = "crop the image"  # hint if memory runs out


@dataclass(eq=False)
class _Item:
    """A job in progress."""

    job: Job
    model: CAFlow | None = None  # None: not yet chosen, or the job is skipped
    reason: str = NAMED  # why this model was chosen
    image: Input | None = None
    mask: Pixels | None = None
    hints: Pixels | None = None  # uint8 (H, W, 4), opaque where the color is known
    seen: Pixels | None = None  # the image in the colors that the model reads
    size: Extent | None = None  # the size that the model draws; None: nothing is drawn
    sampling: Sampling | None = None  # with tau and M filled in
    together: int = 1  # how many such images may share a batch
    result: Candidates | None = None
    error: CaflowError | None = None
    elapsed: float = 0.0  # seconds of drawing; in a batch, its share


@dataclass(eq=False)
class Run:
    """Runs the jobs of a command, with their common settings."""

    plan: Plan
    default: Resolved  # the model of images for which no other is chosen
    sampling: Sampling
    given: Restoration
    masking: Masking | None
    coloring: Coloring | None
    scale: Scale | None  # size of the written image; None: as drawn
    console: Console
    done: int = 0  # completed jobs
    models: dict[str, CAFlow] = field(default_factory=dict)  # those loaded, by name
    grid: list[Pixels] = field(default_factory=list)  # rows of --grid
    uncertainty: list[Pixels] = field(default_factory=list)  # rows of --uncertainty
    show: Callable[..., object] = field(init=False)  # updates the progress bar
    task: Task = field(init=False)

    def all(self) -> None:
        """Read, draw, write and report every job. CaflowError (exit 2) before any is written."""
        given = self.given
        command = self.console.command
        select_device(given.device)  # a missing one is refused before any image is read
        config = read_info(self.default.path).config
        settings = self._settings(calibration_of(self.default), self.default.id)
        self.task, settings = check_settings(
            config, settings, given, self.masking, self.scale, command
        )
        if not given.interval:
            self.sampling = settings
        if given.model:
            self._load(given.model)
        with self.console.steps(command) as self.show:
            items = map(self._read, self.plan.jobs)
            for _, group in groupby(items, lambda item: (item.size, item.model, item.sampling)):
                batch: list[_Item] = []
                for item in group:
                    batch.append(item)
                    if len(batch) >= item.together:
                        self._finish(batch)
                        batch = []
                self._finish(batch)
        write_sheet(given.grid, self.grid, given.overwrite, self.console)
        write_sheet(given.uncertainty, self.uncertainty, given.overwrite, self.console)

    @property
    def saturation(self) -> float:
        """Of the written image."""
        return 1.0 if self.coloring is None else self.coloring.saturation

    def _finish(self, batch: Sequence[_Item]) -> None:
        """Draw, write and report the images of a batch."""
        self._draw(batch)
        for item in batch:
            with reported(item.job, self.console):
                self._write(item)
            self.done += 1

    def _read(self, job: Job) -> _Item:
        """Read a job; errors are stored, to be reported in order."""
        item = _Item(job)
        try:
            with memory_errors(_SMALLER):
                if not job.skipped:
                    self._prepare(item)
        except CaflowError as error:
            item.error = error
            if len(self.plan.jobs) > 1:  # a wrong mask of one image does not stop the others
                error.exit_code = EXIT_FAILED
        return item

    def _prepare(self, item: _Item) -> None:
        """Read the files of a job, and choose its model and M."""
        job = item.job
        task = self.task
        image = job.source.read(self.console.about)
        if self.masking is not None and task.needs_mask:
            item.mask = self.masking.read(job.mask, image, job.name)
            image = image.opaque() if job.mask is None else image
        if self.coloring is not None:
            item.hints = self.coloring.read(job.hints, image)
        item.image = image
        model, item.reason = self._model_for(job, image)
        item.model = model
        if item.mask is not None and not (item.mask >= HOLE).any():
            return  # nothing to fill
        item.seen = seen_by(model, image)
        size = drawn_size(task, item.seen, self.scale)
        if job.interval:
            check_one_pass(size)
        note = task.note(item.seen, item.mask)
        if not self.given.model:
            note = hint_at_model(task.name, image) or note
        if note:
            self.console.about(job.name, note)
        item.sampling = self._sampling_for(item, model, item.seen, size)
        m = item.sampling.candidates or 1
        if math.prod(size) > ONE_PASS:
            times = f"{m} × " if m > 1 else ""
            text = f"draws {times}{math.prod(size) / 1e6:.1f} megapixels in tiles"
            self.console.about(job.name, text, "drawn in tiles")
        item.size = size
        pixels = m * max(math.prod(item.seen.shape[:2]), math.prod(size))
        item.together = min(_MOST, requests_at_a_time(size, m), _HELD // pixels)

    def _sampling_for(self, item: _Item, model: CAFlow, image: Pixels, size: Extent) -> Sampling:
        """The settings for an image of which the model draws that size; a note says if M is
        reduced.
        """
        config = model.config
        windows = None
        why = "it is large"
        if item.mask is not None:
            windows = len(self.task.parts(image, item.mask))
            why = f"its holes take {windows} windows"
        settings = self._settings_for(model)
        most = settings.of(config).candidates
        filled = settings.of(config, size, windows)
        if filled.candidates != most:
            self.console.about(
                item.job.name,
                f"{filled.candidates} of {most} candidates, because {why}; -m {most} draws all",
                "fewer candidates",
            )
        return filled

    def _model_for(self, job: Job, image: Input) -> tuple[CAFlow, str]:
        """The model for an image, and why it was chosen."""
        if self.given.model:
            return self._load(self.given.model), NAMED
        name, reason = choose_model(image, self.task.name)
        if any(rule.task == self.task.name for rule in RULES):
            self.console.note(f"{job.name}: {name}, {reason}")
        if name not in self.models and name != self.default.id:
            self.console.note(f"--model {self.default.id} overrides {name}")
        return self._load(name), reason

    def _load(self, name: str) -> CAFlow:
        """The model with that name, loaded once."""
        if name not in self.models:
            model = self.models[name] = load_model(name, self.given.device)
            if self.given.interval and model.calibration is not None:
                note_interval(model, self._settings_for(model), self.console)
        return self.models[name]

    def _settings_for(self, model: CAFlow) -> Sampling:
        return self._settings(model.calibration, model.identity["id"])

    def _settings(self, calibration: Calibration | None, id: str | None) -> Sampling:
        """The settings for a model; for intervals, those of its calibration.

        CaflowError (exit 2) if it has none, or if a setting that is given differs.
        """
        return self.sampling.calibrated(calibration, id) if self.given.interval else self.sampling

    def _draw(self, batch: Sequence[_Item]) -> None:
        """Draw candidates for images of one size as a batch; if one fails, draw them one by one."""
        images = [item.seen for item in batch if item.seen is not None]
        if not batch or batch[0].sampling is None:
            return
        model = batch[0].model
        assert model is not None
        name = batch[0].job.name
        jobs = len(self.plan.jobs)
        self.show(self.done, jobs, name)
        masks = [item.mask for item in batch]
        hints = [item.hints for item in batch]
        start = time.perf_counter()

        def step(done: int, total: int) -> None:
            self.show(self.done + len(batch) * done / total, jobs, name)

        try:
            with memory_errors(_SMALLER):
                again = not self.given.interval  # intervals hold for one temperature alone
                results = restore_images(
                    model, images, batch[0].sampling, masks, step, hints, again
                )
        except CaflowError as error:
            if len(batch) == 1:
                batch[0].error = error
                return
            for item in batch:
                self._draw([item])
            return
        for item, result in zip(batch, results, strict=True):
            item.result = result
            item.elapsed = (time.perf_counter() - start) / len(batch)

    def _write(self, item: _Item) -> None:
        """Write and report a job; CaflowError if it failed."""
        job = item.job
        image = item.image
        encoder = self.plan.encoder
        if item.error is not None:
            raise item.error
        if image is None:
            report_undone(job, self.console)
            return
        if image.deep:
            self.console.about(job.name, "its 16 bits per channel are written as 8")
        if image.alpha is not None and not encoder.has_alpha:
            self.console.about(
                job.name, f"composited on white, because {encoder.format} has no alpha"
            )
        if encoder.metadata != "none" and image.metadata is None:
            self.console.about(job.name, "its EXIF is unreadable or above 64 kB, and is not kept")
        result = item.result
        if result is None:
            self._copy(job, image)
            return
        changed = self._changes(result)
        paths = self._write_kept(item, image, result, changed)
        interval = write_interval(job, result, self.given, self.console)
        self._add_to_sheets(Path(job.name).name, result, bool(interval))
        self._report(item, result)
        exact = encoder.lossless and image.alpha is None and not changed
        fields = restored_fields(result, paths, {**changed, **interval}, exact)
        fields |= {"model_reason": item.reason, "elapsed_s": round(item.elapsed, 3)}
        self.console.result({**job.names, **fields})

    def _copy(self, job: Job, image: Input) -> None:
        """Write an image in which nothing is to be filled, as it is."""
        more = ""
        if job.mask is not None and (job.mask.threshold or 0) > LOW:
            more = f"; --mask auto:{LOW} finds more"
        self.console.about(job.name, f"nothing to fill, so the image is copied{more}")
        data = self.plan.encoder.encode(image)
        paths = write_output(job, data, self.given, self.console)
        self.console.result(job.fields("unchanged", paths))

    def _changes(self, result: Candidates) -> dict[str, Any]:
        """How the written images differ from those that were drawn and scored, by `CHANGES`."""
        changed: dict[str, Any] = {}
        height, width = result.kept[0].image.shape[:2]
        if self.scale is not None:
            drawn = (width, height)
            written = scaled(self.scale, *result.request.image.shape[:2])
            if written != drawn:
                changed["resized"] = {"drawn": drawn, "written": written, "filter": "lanczos"}
        if self.saturation != 1:
            changed["saturation"] = self.saturation
        return changed

    def _write_kept(
        self, item: _Item, image: Input, result: Candidates, changed: dict[str, Any]
    ) -> dict[int, str]:
        """Write the kept candidates, and return the paths by rank."""
        paths: dict[int, str] = {}
        for candidate in result.kept:
            pixels = candidate.image
            if "saturation" in changed:
                pixels = saturate(pixels, self.saturation)
            if "resized" in changed:
                drawn = Image.fromarray(pixels)  # Pillow antialiases when shrinking
                size = changed["resized"]["written"]
                pixels = np.array(drawn.resize(size, Image.Resampling.LANCZOS))
            record = json.dumps({**result.provenance(candidate), **changed})
            output = image.output(pixels, item.mask, keeps_gray=self.task.keeps_gray)
            data = self.plan.encoder.encode(output, record)
            # An existing file that is kept may have another candidate, so it gets no path.
            path = write_output(item.job, data, self.given, self.console, candidate.rank)
            if path and self.console.live and not self.console.json:
                of = f"rank {candidate.rank} of {len(result.ranked)}"
                self.console.note(f"  {of}, {candidate.score.summary}")
            paths |= path
        return paths

    def _add_to_sheets(self, label: str, result: Candidates, has_interval: bool) -> None:
        calibration = result.calibration
        ranked = result.ranked
        if self.given.grid:
            self.grid.append(grid_row(label, result.tau, result.seen, ranked))
        if not self.given.uncertainty:
            return
        if has_interval and calibration is not None:
            best = result.kept[0].pixels
            chart = interval_chart(label, best, result.interval(), calibration.level)
            self.uncertainty.append(chart)
        elif len(ranked) > 1:  # a single candidate has no spread
            self.uncertainty.append(uncertainty_chart(label, ranked, result.tau))

    def _report(self, item: _Item, result: Candidates) -> None:
        """Write to stderr what is to be said of a result."""
        name = item.job.name
        model = item.model
        request = result.request
        assert model is not None
        if note := domain_warning(model, result.statistics, request.image, request.mask):
            self.console.about(f"warning: {name}", note, "unlike the training data")
        if result.lower_tau_note:
            self.console.about(name, result.lower_tau_note, "all candidates diverged")
        if result.diverged:
            self.console.about(
                name,
                f"{result.diverged} of {result.sampling.candidates} candidates "
                f"diverged at tau {result.tau} and were dropped; a lower --tau avoids this",
                "candidates diverged",
            )
        if len(result.kept) < self.sampling.keep:
            message = f"{name}: only {len(result.kept)} of {self.sampling.keep} images drawn"
            self.console.error(CaflowError(message, "a lower --tau, or a larger -m"))
