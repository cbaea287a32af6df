"""The writing of events, models, pictures and states of a run, and the reading of states."""

from __future__ import annotations

import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from ..errors import EXIT_USAGE, CaflowError
from ..inference import describe_domain
from .config import RunConfig
from .dataset import Dataset
from .events import EventLog
from .optimise import Optimiser, StepFigures
from .processes import on_main_process
from .progress import Progress, RunSummary
from .run_folder import RunFolder
from .state import load_newest, save_state
from .tracker import Tracker
from .validation import Fit, Validation

__all__ = ["Recorder"]

_LEAST_OF_DOMAIN = 20  # pictures: of fewer, nearly every other picture lies outside


class Recorder:
    """Writes on the main process, while the others wait.

    Args:
        config: The run's.
        accelerator: Accelerate's object, which knows the process.
        folder: Receives the files.
        log: Takes the events.
        optimiser: Holds the model and its average.
        progress: Has the step of the run; its best validation is updated here.
        validation: Has the pictures for sample grids.
        tracker: Gets figures and grids, too.
    """

    def __init__(
        self,
        config: RunConfig,
        accelerator: Accelerator,
        folder: RunFolder,
        log: EventLog,
        optimiser: Optimiser,
        progress: Progress,
        validation: Validation,
        tracker: Tracker,
    ) -> None:
        self._config, self._accelerator = config, accelerator
        self._folder, self._log = folder, log
        self._optimiser, self._progress = optimiser, progress
        self._validation = validation
        self._tracker = tracker
        tracker.note = lambda text: self._write("note", text=text)
        self.fit = Fit(math.nan, math.nan)  # at the last validation of this session,
        self.validated_at = -1  # made after this step
        self.saved_at = -1  # the step of the last state

    # --- events -----------------------------------------------------------------------------------

    def begin(self, train_set: Dataset, val_set: Dataset, notes: list[str]) -> None:
        """Write the config and the first events; drop events of steps that will be repeated."""

        self._tracker.begin()  # in every process: trackers tell them apart

        def write() -> None:
            self._log.forget_after(self._progress.step)
            self._log.track(self._tracker)
            self._folder.begin(self._config)
            skipped = [*train_set.skipped, *val_set.skipped]
            self._write(
                "data",
                train=len(train_set),
                val=len(val_set),
                skipped=len(skipped),
                skipped_names=skipped[:5],
            )
            for text in notes:
                self._write("note", text=text)

        on_main_process(self._accelerator, write)

    def step(self, figures: StepFigures, lr: float, images_per_second: float) -> None:
        in_bits = self._optimiser.phases.current.unit == "bits/dim"
        self._announce(
            "step",
            lr=lr,
            images_per_second=images_per_second,
            progress=self._progress.spent(self._config.optim),
            loss=figures.loss,
            **{"running_bits_per_dim" if in_bits else "running_loss": self._progress.running},
            cond_bits_per_dim=figures.cond_bits_per_dim,
            **({"picture_loss": figures.picture} if in_bits and figures.picture else {}),
            grad_norm=figures.grad_norm,
            skipped=self._optimiser.guard.skipped,
        )

    def rollback(self) -> None:
        lr_scale, rollbacks = self._progress.lr_scale, self._optimiser.guard.rollbacks
        self._announce("rollback", lr_scale=lr_scale, rollbacks=rollbacks)

    def note(self, text: str) -> None:
        self._announce("note", text=text)

    def end(self, summary: RunSummary) -> None:
        def write() -> None:
            self._write("end", **{k: v for k, v in asdict(summary).items() if k != "images"})
            self._folder.end()

        on_main_process(self._accelerator, write)

    def _announce(self, event: str, **figures: Any) -> None:
        on_main_process(self._accelerator, lambda: self._write(event, **figures))

    def _write(self, event: str, **figures: Any) -> None:
        self._log.write(
            event,
            self._progress.step,
            images=self._progress.images(self._config.optim),
            **figures,
            elapsed_s=round(self._progress.elapsed, 2),
        )

    # --- models and pictures ----------------------------------------------------------------------

    def validated(self, fit: Fit) -> None:
        """Write the results of a validation, the models and, at intervals, a grid of samples."""
        progress, model = self._progress, self._optimiser.ema.model
        self.fit, self.validated_at = fit, progress.step
        better = fit.loss < progress.best
        if better:
            progress.best, progress.best_bits_per_dim = fit.loss, fit.val

        def write() -> None:
            self._write(
                "validation",
                val_bits_per_dim=fit.val,
                train_bits_per_dim=fit.train,
                running_bits_per_dim=progress.running,
                **({} if fit.picture is None else {"val_picture_loss": fit.picture}),
            )
            # A broken model must not replace a good one.
            if math.isfinite(fit.val):
                self._folder.save_model("last", model, self._model_record())
            if better:
                self._folder.save_model("best", model, self._model_record())
            if progress.validations % self._config.grid_every == 0:
                grid = self._folder.draw_samples(progress.step, model, *self._validation.val)
                self._tracker.grid(grid, progress.step)
            self._folder.draw_curve()

        on_main_process(self._accelerator, write)
        progress.validations += 1

    def _model_record(self) -> dict[str, Any]:
        known, model = self._validation.val[1], self._optimiser.ema.model
        domain = describe_domain(model, known) if len(known) >= _LEAST_OF_DOMAIN else None
        return {
            "data": os.fsencode(Path(self._config.data).name).decode(errors="replace"),
            "steps": self._progress.step,
            "images": self._progress.images(self._config.optim),
            "minutes": round(self._progress.elapsed / 60, 2),
            "seed": self._config.seed,
            "train_bits_per_dim": self.fit.train,
            "val_bits_per_dim": self.fit.val,
            "val_picture_loss": self.fit.picture,
            "optim": asdict(self._config.optim),
            "samples": asdict(self._config.samples),
            "domain": domain.to_record() if domain is not None else None,
        }

    # --- states -----------------------------------------------------------------------------------

    def save_state(self) -> None:
        """Write a state to go on from."""
        one, progress = self._optimiser, self._progress
        record = {
            **progress.record(),
            **one.phases.record(),
            "batch_size": self._config.optim.batch_size,
            "guard": one.guard.record(),
        }
        folder, every = self._folder.state, self._config.save_every
        on_main_process(
            self._accelerator,
            lambda: save_state(folder, one.model, one.ema, one.rule, record, every=every),
        )
        self.saved_at = progress.step

    def restore_state(self) -> str | None:
        """Restore the newest readable state. Returns the errors of newer ones.

        Raises:
            CaflowError: (exit 2) there is no state, none fits, or it has another batch size.
        """
        one, progress, optim = self._optimiser, self._progress, self._config.optim
        record, failure = load_newest(self._folder.state, one.model, one.ema, one.rule, one.guard)
        progress.restore(record)
        one.phases.restore(record)
        self.saved_at = progress.step
        if progress.step % self._config.save_every == 0:
            one.guard.state_written()
        if record["batch_size"] != optim.batch_size:
            raise CaflowError(
                f"the run has batch size {record['batch_size']}, not {optim.batch_size}",
                f"--batch-size {record['batch_size']}, or a new run with --init-from",
                EXIT_USAGE,
            )
        return failure
