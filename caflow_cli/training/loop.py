"""The training loop."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from ..devices import select_device, use_device
from ..errors import EXIT_USAGE, CaflowError
from ..inference import describe_domain
from .batches import Batches, Prefetched
from .config import RunConfig, to_toml
from .examples import Examples, load_examples
from .folder import RunFolder
from .journal import Event, Journal, check_tracker
from .optimise import Figures, Optimiser
from .ranks import on_main
from .signals import Signals
from .standing import Standing, Summary
from .start import starting_model
from .state import load_newest, save_state
from .validate import Fit, Validation

__all__ = ["train"]

_LOG_EVERY = 10  # steps
_NOT_YET = Fit(math.nan, math.nan)


def train(
    config: RunConfig,
    *,
    resume: bool = False,
    report: Callable[[Event], None] | None = None,
) -> Summary:
    """Maximise log p(w|y) + λ log p(y) on a set of images (paper section 4.3, appendix B).

    Writes into `config.out`: `config.toml`, `metrics.jsonl`, `curve.png`, `samples/*.png`,
    `last.safetensors` and `best.safetensors` (averaged weights; best by validation bits/dim), and
    `state/`, from which `resume=True` goes on.

    Under `accelerate launch` or `torchrun` every process calls this; rank 0 writes and reports.

    Args:
        config: What to learn, from what, and for how long.
        resume: Go on with the newest state in `config.out`; where a run was killed before its
            first, start it again.
        report: Called with every line of `metrics.jsonl`.

    Raises:
        Stopped: By Ctrl-C (exit code 130) or SIGTERM (143), after the state was written.
        CaflowError: Unusable data, an output folder that holds another run or is in use, a full
            disk, or a run that does not recover from steps that are not finite.
    """
    check_tracker(config.tracker)
    to_toml(config)  # what that cannot hold is not to be found out behind the reading of data
    device = select_device(config.device)
    if config.device.startswith("cuda:"):  # "cuda": a launcher gives each rank its own
        use_device(device)
    accelerator = Accelerator(
        mixed_precision="no",
        cpu=device.type == "cpu",
        log_with=config.tracker,
        project_dir=config.out,
    )
    folder = RunFolder(Path(config.out))
    on_main(accelerator, lambda: folder.open(resume))
    try:
        resume_state = resume and not folder.starts_again(config.save_every)
        run = _Run(config, accelerator, folder, report, resume_state)
        if resume and not resume_state:
            run.note = "killed before its first state: this run starts again"
        return run.fit()
    finally:
        folder.close()


class _Run:
    def __init__(
        self,
        config: RunConfig,
        accelerator: Accelerator,
        folder: RunFolder,
        report: Callable[[Event], None] | None,
        resume: bool,
    ) -> None:
        self.config, self.accelerator, self.folder = config, accelerator, folder
        self.journal = Journal(folder.path, accelerator, report)
        self.at = Standing()
        self.fit_now = _NOT_YET  # at the last validation of this session,
        self.validated_at = -1  # which was behind this step
        self.saved_at = -1

        # The first process of a machine decodes what the others map.
        with accelerator.local_main_process_first():
            self.train_set = load_examples(config, "train")
            self.val_set = load_examples(config, "val")
        self._check_size(self.train_set)
        batches = Batches(
            self.train_set,
            config.optim.batch_size,
            config.seed,
            config.flip,
            normal_noise=config.flow.dequantization == "variational",
            zoom=config.zoom,
        )
        self.batches = Prefetched(batches, accelerator.process_index, accelerator.num_processes)
        self.validation = Validation(
            self.train_set, self.val_set, config.validation_images, config.seed
        )
        torch.manual_seed(config.seed)
        self.optimiser = Optimiser(starting_model(config, resume), accelerator, config.optim)
        self.model, self.ema = self.optimiser.model, self.optimiser.ema
        self.guard = self.optimiser.guard
        self.note: str | None = None
        self.at.guide_alone = config.optim.guide_first > 0
        if resume:
            self._resume()

    def _check_size(self, examples: Examples) -> None:
        if len(examples) < self.config.optim.batch_size:
            raise CaflowError(
                f"{len(examples)} training images are fewer than a batch",
                f"--batch-size {max(1, len(examples))}",
                EXIT_USAGE,
            )

    # --- the loop ---------------------------------------------------------------------------------

    def fit(self) -> Summary:
        on_main(self.accelerator, self._begin)
        with Signals() as signals:
            try:
                return self._fit(signals)
            finally:
                self.batches.close()

    def _fit(self, signals: Signals) -> Summary:
        optim = self.config.optim
        first_step, first_time = self.at.step, time.monotonic()
        start = first_time - self.at.elapsed
        logged = (self.at.step, 0.0)
        training = 0.0  # seconds in steps, of this session

        def messages() -> list[float]:
            # Rank 0's clock is the run's: all must end at one step.
            main = self.accelerator.is_main_process
            return [time.monotonic() - start if main else 0.0, *signals.flags()]

        if self.at.progress(optim) < 1 and not self.at.guide_alone:
            self.optimiser.initialise(self.batches(self.at.step))
        while self.at.progress(optim) < 1:
            began = time.monotonic()
            if self.at.ends_guide_alone(optim):
                self._all_learn()
            epoch = self.at.images(optim) // len(self.train_set)
            lr = self.at.rate(optim, epoch)
            batch = self.batches(self.at.step)
            figures = self.optimiser.step(batch, lr, messages, self.at.guide_alone)
            self.at.elapsed, *flags = figures.messages
            self._take_in(figures)
            self.at.count_step()
            training += time.monotonic() - began
            if self.at.step % _LOG_EVERY == 0:
                steps, seconds = self.at.step - logged[0], training - logged[1]
                logged = self.at.step, training
                self._log_step(figures, lr, steps * optim.batch_size / max(seconds, 1e-9))
            if self.at.step % self.config.validate_every == 0 and not self.at.guide_alone:
                self._validate()
            regular = self.at.step % self.config.save_every == 0
            stopped = Signals.stopped(flags, self.at.step, self.config.out)
            if regular or stopped:
                self._save()
            if regular:
                self.guard.state_written()
            if stopped:
                raise stopped
        if self.validated_at != self.at.step:
            self._validate()
        if self.saved_at != self.at.step:
            self._save()
        seconds = time.monotonic() - first_time
        summary = Summary(
            steps=self.at.step,
            images=self.at.images(self.config.optim),
            minutes=self.at.elapsed / 60,
            images_per_second=(self.at.step - first_step) * optim.batch_size / max(seconds, 1e-9),
            train_bits_per_dim=self.fit_now.train,
            val_bits_per_dim=self.fit_now.val,
            gap_bits_per_dim=self.fit_now.val - self.fit_now.train,
            best_val_bits_per_dim=self.at.best,
            skipped_steps=self.guard.skipped,
            rollbacks=self.guard.rollbacks,
        )
        on_main(self.accelerator, lambda: self._end(summary))
        return summary

    def _all_learn(self) -> None:
        """Begin with all but the guide: actnorms see what that hands on as it has become.

        The average starts anew with them, and losses are of the whole model now, not to be measured
        by the guide's.
        """
        rest = "all learn" if self.config.optim.guide_lr_share else "all else learns"
        text = f"the guide alone reached {self.at.running:.4f} bits/dim; now {rest}"
        on_main(self.accelerator, lambda: self._write("note", text=text))
        self.optimiser.initialise(self.batches(self.at.step))
        self.ema.updates = 0
        self.guard.forget()

    def _take_in(self, figures: Figures) -> None:
        """Keep the running mean, and deal with steps that were refused."""
        if figures.taken:
            self.at.take_loss(figures.bits_per_dim)
        elif figures.rolled_back:
            self.at.lr_scale /= 2
            self._announce("rollback", lr_scale=self.at.lr_scale, rollbacks=self.guard.rollbacks)
        elif self.guard.wants_rollback():
            raise CaflowError(
                f"training does not recover: {self.guard.skipped} of {self.at.step + 1} steps had "
                "a loss that was not finite, or far above the last good one",
                f"--lr {self.config.optim.lr / 4:g}, and look at the data",
            )

    def _validate(self) -> None:
        self.fit_now = self.validation.measure(self.ema.model, self.accelerator)
        better = self.fit_now.val < self.at.best
        if better:
            self.at.best = self.fit_now.val
        self.validated_at = self.at.step

        def write() -> None:
            self._write(
                "validation",
                val_bits_per_dim=self.fit_now.val,
                train_bits_per_dim=self.fit_now.train,
                running_bits_per_dim=self.at.running,
            )
            # What is broken must not replace what is good.
            if math.isfinite(self.fit_now.val):
                self.folder.save_model("last", self.ema.model, self._model_record())
            if better:
                self.folder.save_model("best", self.ema.model, self._model_record())
            if self.at.validations % self.config.grid_every == 0:
                own, default = self.config.task.tau, self.val_set.task.tau
                tau = default if own is None else own
                self.folder.draw_samples(self.at.step, self.ema.model, *self.validation.val, tau)
            self.folder.draw_curve()

        on_main(self.accelerator, write)
        self.at.validations += 1

    # --- what is written --------------------------------------------------------------------------

    def _begin(self) -> None:
        self.journal.forget_after(self.at.step)
        self.folder.begin(self.config)
        if self.config.tracker is not None:
            self.accelerator.init_trackers(self.config.tracker)
        skipped = [*self.train_set.skipped, *self.val_set.skipped]
        self._write(
            "data",
            train=len(self.train_set),
            val=len(self.val_set),
            skipped=len(skipped),
            skipped_names=skipped[:5],
        )
        if self.note is not None:
            self._write("note", text=self.note)
        if self.at.progress(self.config.optim) >= 1:
            text = "the budget of this run is used up: a larger --images or --minutes extends it"
            self._write("note", text=text)

    def _end(self, summary: Summary) -> None:
        self._write("end", **{k: v for k, v in asdict(summary).items() if k != "images"})
        for tracker in self.accelerator.trackers:
            tracker.finish()
        self.folder.end()

    def _log_step(self, figures: Figures, lr: float, speed: float) -> None:
        self._announce(
            "step",
            lr=lr,
            images_per_second=speed,
            progress=self.at.progress(self.config.optim),
            loss=figures.loss,
            running_bits_per_dim=self.at.running,
            cond_bits_per_dim=figures.cond_bits_per_dim,
            grad_norm=figures.grad_norm,
            skipped=self.guard.skipped,
        )

    def _write(self, event: str, **figures: Any) -> None:
        self.journal.write(
            event,
            self.at.step,
            images=self.at.images(self.config.optim),
            **figures,
            elapsed_s=round(self.at.elapsed, 2),
        )

    def _announce(self, event: str, **figures: Any) -> None:
        on_main(self.accelerator, lambda: self._write(event, **figures))

    def _model_record(self) -> dict[str, Any]:
        domain = describe_domain(self.ema.model, self.validation.val[1])
        return {
            "data": os.fsencode(Path(self.config.data).name).decode(errors="replace"),
            "steps": self.at.step,
            "images": self.at.images(self.config.optim),
            "minutes": round(self.at.elapsed / 60, 2),
            "seed": self.config.seed,
            "train_bits_per_dim": self.fit_now.train,
            "val_bits_per_dim": self.fit_now.val,
            "optim": asdict(self.config.optim),
            "domain": domain.to_record() if domain is not None else None,
        }

    # --- the state --------------------------------------------------------------------------------

    def _save(self) -> None:
        on_main(self.accelerator, self._write_state)
        self.saved_at = self.at.step

    def _write_state(self) -> None:
        record = {
            **self.at.record(),
            "batch_size": self.config.optim.batch_size,
            "guard": self.guard.record(),
        }
        every = self.config.save_every
        save_state(
            self.folder.state, self.model, self.ema, self.optimiser.adam, record, every=every
        )

    def _resume(self) -> None:
        record, self.note = load_newest(
            self.folder.state, self.model, self.ema, self.optimiser.adam, self.guard
        )
        self.at.restore(record)
        self.saved_at = self.at.step
        if self.at.step % self.config.save_every == 0:
            self.guard.state_written()
        if record["batch_size"] != self.config.optim.batch_size:
            raise CaflowError(
                f"the run has batch size {record['batch_size']}, not "
                f"{self.config.optim.batch_size}",
                f"--batch-size {record['batch_size']}, or a new run with --init-from",
                EXIT_USAGE,
            )
