"""Restore images by `superres`, `colorize`, `inpaint` and `sample`: read, draw, write, report."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..config import HOLE
from ..errors import CaflowError
from ..hub.choice import NAMED, choose_model, hint_at_model
from ..images import Decoded
from ..inference import (
    Candidates,
    domain_warning,
    grid_row,
    interval_chart,
    restore_image,
    seen_by,
    uncertainty_chart,
)
from ..model import CAFlow
from ..sampling import Sampling
from ..tasks import ONE_PASS, Pixels, Task, check_one_pass, saturate
from .checks import check_settings, drawn_size
from .coloring import Coloring
from .console import Console
from .intervals import note_interval, write_interval
from .masking import LOW, Masking
from .options import Restoration, load_model
from .output import Scale, run_jobs, scaled, write_output, write_sheet
from .plan import Job, Plan
from .records import restored_fields


@dataclass(eq=False)
class Run:
    """Restores the images of a command, with their common settings."""

    plan: Plan
    model: CAFlow
    sampling: Sampling
    given: Restoration
    masking: Masking | None
    coloring: Coloring | None
    scale: Scale | None  # size of the written image; None: as drawn
    console: Console
    models: dict[str | None, CAFlow] = field(default_factory=dict)  # those loaded, by id
    grid: list[Pixels] = field(default_factory=list)  # rows of --grid
    uncertainty: list[Pixels] = field(default_factory=list)  # rows of --uncertainty
    task: Task = field(init=False)

    def all(self) -> None:
        """Restore and report every image. CaflowError (exit 2) before any is written."""
        given = self.given
        self.models[self.model.identity["id"]] = self.model
        settings = self._settings(self.model)
        self.task, settings = check_settings(
            self.model.config, settings, given, self.masking, self.scale, self.console.command
        )
        if given.wants_interval:
            note_interval(self.model, settings, self.console)
        else:
            self.sampling = settings
        run_jobs(self.plan.jobs, self.console, self._restore)
        write_sheet(given.grid, self.grid, given.overwrite, self.console)
        write_sheet(given.uncertainty, self.uncertainty, given.overwrite, self.console)

    @property
    def saturation(self) -> float:
        """Of the written image."""
        return 1.0 if self.coloring is None else self.coloring.saturation

    def _restore(self, job: Job, step: Callable[[int, int], None]) -> None:
        """Restore and report the image of a job. CaflowError if that fails."""
        image = job.source.read(self.console.about)
        mask = None
        hints = None
        if self.masking is not None and self.task.needs_mask:
            mask = self.masking.read(job.mask, image, job.name)
            image = image.opaque() if job.mask is None else image
        if self.coloring is not None:
            hints = self.coloring.read(job.hints, image)
        model, reason = self._model_for(image)
        if mask is not None and not (mask >= HOLE).any():
            self._note_losses(job, image)
            self._copy(job, image)
            return
        seen = seen_by(model, image)
        sampling = self._sampling_for(job, model, seen, mask)
        note = None if self.given.model else hint_at_model(self.task.name, image)
        if note := note or self.task.note(seen, mask):
            self.console.about(job.name, note)
        start = time.perf_counter()
        again = not self.given.wants_interval  # intervals hold for one temperature alone
        result = restore_image(model, seen, sampling, mask, hints, step, again)
        elapsed = round(time.perf_counter() - start, 3)
        self._note_losses(job, image)
        changed = self._changes(result)
        paths = self._write_kept(job, image, mask, result, changed)
        interval = write_interval(job, result, self.given, self.console)
        self._add_to_sheets(Path(job.name).name, result, bool(interval))
        self._report(job, model, result)
        exact = self.plan.encoder.lossless and image.alpha is None and not changed
        fields = restored_fields(result, paths, {**changed, **interval}, exact)
        fields |= {"model_reason": reason, "elapsed_s": elapsed}
        self.console.result({**job.names, **fields})

    def _sampling_for(
        self, job: Job, model: CAFlow, image: Pixels, mask: Pixels | None
    ) -> Sampling:
        """The settings for an image, with tau and M filled in; notes say if M is reduced, and if
        the image is drawn in tiles.
        """
        size = drawn_size(self.task, image, self.scale)
        if job.interval:
            check_one_pass(size)
        windows = None
        why = "it is large"
        if mask is not None:
            windows = len(self.task.parts(image, mask))
            why = f"its holes take {windows} windows"
        settings = self._settings(model)
        most = settings.of(model.config).candidates
        filled = settings.of(model.config, size, windows)
        m = filled.candidates or 1
        if m != most:
            self.console.about(
                job.name,
                f"{m} of {most} candidates, because {why}; -m {most} draws all",
                "fewer candidates",
            )
        if math.prod(size) > ONE_PASS:
            times = f"{m} × " if m > 1 else ""
            text = f"draws {times}{math.prod(size) / 1e6:.1f} megapixels in tiles"
            self.console.about(job.name, text, "drawn in tiles")
        return filled

    def _model_for(self, image: Decoded) -> tuple[CAFlow, str]:
        """The model for an image, and why it was chosen."""
        if self.given.model:
            return self.model, NAMED
        name, reason = choose_model(self.task.name, image)
        if name not in self.models:
            model = self.models[name] = load_model(name, self.given.device)
            default = self.model.identity["id"]
            self.console.note(f"{name} is used {reason}; override with --model {default}")
            if self.given.wants_interval and model.calibration is not None:
                note_interval(model, self._settings(model), self.console)
        return self.models[name], reason

    def _settings(self, model: CAFlow) -> Sampling:
        """The settings for a model; for intervals, those of its calibration.

        CaflowError (exit 2) if it has none, or if a setting that is given differs.
        """
        if not self.given.wants_interval:
            return self.sampling
        return self.sampling.calibrated(model.calibration, model.identity["id"])

    def _note_losses(self, job: Job, image: Decoded) -> None:
        """Say what the written file does not have of the input."""
        encoder = self.plan.encoder
        if image.deep:
            self.console.about(job.name, "its 16 bits per channel are written as 8")
        if image.alpha is not None and not encoder.has_alpha:
            self.console.about(
                job.name, f"composited on white, because {encoder.format} has no alpha"
            )
        if encoder.metadata != "none" and image.metadata is None:
            self.console.about(job.name, "its EXIF is unreadable or above 64 kB, and is not kept")

    def _copy(self, job: Job, image: Decoded) -> None:
        """Write an image in which nothing is to be filled, as it is."""
        more = ""
        if job.mask is not None and (job.mask.threshold or 0) > LOW:
            more = f"; --mask auto:{LOW} finds more"
        self.console.about(job.name, f"nothing to fill, so the image is copied{more}")
        data = self.plan.encoder.encode(image.rgb, image.alpha, None, image.metadata, image.gray)
        paths = write_output(job, data, self.given, self.console)
        self.console.result(job.fields("unchanged", paths))

    def _changes(self, result: Candidates) -> dict[str, Any]:
        """How the written images differ from those that were drawn and scored, for JSON."""
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
        self,
        job: Job,
        image: Decoded,
        mask: Pixels | None,
        result: Candidates,
        changed: dict[str, Any],
    ) -> dict[int, str]:
        """Write the kept candidates, and return the paths by rank."""
        paths: dict[int, str] = {}
        gray = image.gray and self.task.keeps_gray
        for candidate in result.kept:
            pixels = candidate.image
            if "saturation" in changed:
                pixels = saturate(pixels, self.saturation)
            if "resized" in changed:
                drawn = Image.fromarray(pixels)  # Pillow antialiases when shrinking
                size = changed["resized"]["written"]
                pixels = np.array(drawn.resize(size, Image.Resampling.LANCZOS))
            record = json.dumps({**result.provenance(candidate), **changed})
            written = image.with_alpha(pixels, mask)
            data = self.plan.encoder.encode(*written, record, image.metadata, gray)
            # An existing file that is kept may have another candidate, so it gets no path.
            path = write_output(job, data, self.given, self.console, candidate.rank)
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

    def _report(self, job: Job, model: CAFlow, result: Candidates) -> None:
        """Write to stderr what is to be said of a result."""
        request = result.request
        if note := domain_warning(model, result.statistics, request.image, request.mask):
            self.console.about(f"warning: {job.name}", note, "unlike the training data")
        if result.lower_tau_note:
            self.console.about(job.name, result.lower_tau_note, "all candidates diverged")
        if result.diverged:
            self.console.about(
                job.name,
                f"{result.diverged} of {result.sampling.candidates} candidates "
                f"diverged at tau {result.tau} and were dropped; a lower --tau avoids this",
                "candidates diverged",
            )
        if len(result.kept) < self.sampling.keep:
            message = f"{job.name}: only {len(result.kept)} of {self.sampling.keep} images drawn"
            self.console.error(CaflowError(message, "a lower --tau, or a larger -m"))
