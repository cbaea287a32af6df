"""The training loop."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator

from ..data import Address
from ..devices import select_device, use_device
from ..errors import CaflowError
from ..perceptual import LEAST_SIDE, VGG
from .batches import Batches, Prefetched
from .config import RunConfig, to_toml
from .dataset import load_dataset
from .events import Event, EventLog, last_step
from .initial_model import starting_model
from .objective import Perceptual
from .optimise import Optimiser, StepFigures
from .perceptual import perceptual_distance
from .phases import learns_by_l1_alone, wants_perceptual
from .processes import on_main_process
from .progress import Progress, RunSummary
from .recorder import Recorder
from .resume import check_unchanged
from .run_folder import RunFolder
from .signals import Signals
from .tracker import Tracker, check_tracker
from .validation import Fit, Validation

__all__ = ["train"]

_LOG_EVERY = 10  # steps


def train(
    config: RunConfig,
    *,
    resume: bool = False,
    report: Callable[[Event], None] | None = None,
) -> RunSummary:
    """Maximise log p(w|y) + λ log p(y) on a set of images (paper section 4.3, appendix B).

    Writes into `config.out`: `config.toml`, `metrics.jsonl`, `curve.png`, `samples/*.png`,
    `last.safetensors` and `best.safetensors` (averaged weights; best by validation bits/dim), and
    `state/`, from which `resume=True` goes on.

    Under `accelerate launch` or `torchrun` every process calls this. The main process writes and
    reports.

    Args:
        config: The config of the run.
        resume: Go on from the newest state in `config.out`. A run that was killed before its first
            state starts again.
        report: Function that is called with every line of `metrics.jsonl`.

    Examples:
        >>> import caflow_cli as caflow
        >>> from caflow_cli.config import FlowConfig, TaskConfig
        >>> flow = FlowConfig(scales=2, r_steps=1, t_steps=1, f_steps=1, hidden=8, f_hidden=8)
        >>> optim = caflow.OptimConfig(images=16, batch_size=8)
        >>> run = caflow.RunConfig("photos/", "run", optim, flow, TaskConfig(size=16))
        >>> summary = caflow.train(run)
        >>> summary.steps, summary.images
        (2, 16)

    Raises:
        Stopped: Ctrl-C (exit code 130) or SIGTERM (143) came. The state is written.
        CaflowError: The data is unusable, the output folder holds another run or is in use, the
            config would make another run of one that goes on (see `check_unchanged`), the disk is
            full, the budget ends before the flows learn, or the run does not recover from bad
            steps.
    """
    check_tracker(config.tracker)
    to_toml(config)  # fails early on what a config file cannot hold, before data is read
    device = select_device(config.device)
    perceptual = (
        perceptual_distance(config.perceptual_weights, device, config.task.size, config.optim.bf16)
        if wants_perceptual(config.optim, config.flow, config.samples)
        else None
    )
    if config.device.startswith("cuda:"):  # with "cuda" a launcher gives each process its own
        use_device(device)
    accelerator = Accelerator(
        mixed_precision="no",
        cpu=device.type == "cpu",
        log_with=config.tracker,
        project_dir=config.out,
    )
    tracker = Tracker(config, accelerator)
    folder = RunFolder(Path(config.out))
    on_main_process(accelerator, lambda: folder.open(resume))
    try:
        return _train(config, accelerator, folder, report, resume, perceptual, tracker)
    finally:
        tracker.end()
        folder.close()


def _train(
    config: RunConfig,
    accelerator: Accelerator,
    folder: RunFolder,
    report: Callable[[Event], None] | None,
    resume: bool,
    perceptual: Perceptual | None,
    tracker: Tracker,
) -> RunSummary:
    optim = config.optim
    has_state = resume and not folder.starts_again(config.save_every)
    if has_state:
        check_unchanged(config)

    # The pictures. The first process of a machine decodes what the others map.
    stream = Address.of(config.data).stream
    share = accelerator.process_index, accelerator.num_processes
    with accelerator.local_main_process_first():
        begun = last_step(folder.path) if has_state and stream else 0
        train_set = load_dataset(config, "train", start=begun, share=share)
        val_set = load_dataset(config, "val")
    normal_noise = config.flow.dequantization == "variational"
    batches = Prefetched(
        Batches(train_set, optim.batch_size, config.seed, config.flip, normal_noise, config.zoom),
        accelerator.process_index,
        accelerator.num_processes,
    )
    validation = Validation(train_set, val_set, config.validation_images, config.seed)

    # The model, and what teaches it.
    torch.manual_seed(config.seed)
    model = starting_model(config, has_state)
    optimiser = Optimiser(model, accelerator, optim, perceptual, config.samples)
    phases, guard, ema = optimiser.phases, optimiser.guard, optimiser.ema
    progress = Progress()

    # What is written.
    log = EventLog(folder.path, accelerator, report)
    recorder = Recorder(config, accelerator, folder, log, optimiser, progress, validation, tracker)
    notes = []
    if has_state and stream:
        notes.append(
            "a stream has no place to go on from: its pictures come in another order from here, "
            "and this run does not repeat an uninterrupted one bit for bit"
        )
    if has_state and (failure := recorder.restore_state()):
        notes.append(failure)
    if not has_state and learns_by_l1_alone(optim, config.flow):
        notes.append(
            "the guide learns by L1 alone, not by how its pictures look, and guide_lattice is 0: "
            + (
                f"{VGG.option} FILE, or {VGG.variable}, names VGG16's trunk"
                if config.task.size >= LEAST_SIDE
                else f"VGG16 needs pictures of {LEAST_SIDE} pixels"
            )
        )
    if resume and not has_state:
        notes.append("killed before its first state: this run starts again")
    if progress.spent(optim) >= 1:
        notes.append("the budget of this run is used up: a larger --images or --minutes extends it")
    recorder.begin(train_set, val_set, notes)

    first_step, first_time = progress.step, time.monotonic()
    start = first_time - progress.elapsed
    logged_at, seconds = progress.step, 0.0  # in steps since the last logged one

    with Signals() as signals, contextlib.closing(batches):

        def messages() -> list[float]:
            # The main process's clock is the run's: all processes must end at one step.
            main = accelerator.is_main_process
            return [time.monotonic() - start if main else 0.0, *signals.flags()]

        if progress.spent(optim) < 1 and phases.current.whole_model:
            optimiser.initialise(batches(progress.step))
        while progress.spent(optim) < 1:
            began = time.monotonic()
            if phases.current_ends(progress.spent(optim)):
                phase = phases.current
                reached = f"{phase.name} reached {progress.running:.4f} {phase.unit}"
                phases.begin_next(progress.step)
                recorder.note(f"{reached}; now {phases.current.name}")
                optimiser.begin_phase(batches(progress.step))
                progress.forget_losses()
                progress.best = math.inf  # of another loss

            epoch = progress.images(optim) // len(train_set)
            lr = progress.lr_scale * phases.rate(progress.step, progress.spent(optim), epoch)
            figures = optimiser.step(batches(progress.step), lr, messages)
            progress.elapsed, *flags = figures.messages
            _take_in(figures, progress, optimiser, recorder)
            progress.step += 1

            seconds += time.monotonic() - began
            if progress.step % _LOG_EVERY == 0:
                images = (progress.step - logged_at) * optim.batch_size
                recorder.step(figures, lr, images / max(seconds, 1e-9))
                logged_at, seconds = progress.step, 0.0
            if progress.step % config.validate_every == 0 and phases.current.whole_model:
                recorder.validated(validation.measure(ema.model, accelerator, phases.current))
            regular = progress.step % config.save_every == 0
            stopped = Signals.stopped(flags, progress.step, config.out)
            if regular or stopped:
                recorder.save_state()
            if regular:
                guard.state_written()
            if stopped:
                raise stopped

        # The flows of a model that the run began with have learned, whatever the phase.
        whole = phases.current.whole_model or config.init_from is not None
        if whole and recorder.validated_at != progress.step:
            recorder.validated(validation.measure(ema.model, accelerator, phases.current))
        if recorder.saved_at != progress.step:
            recorder.save_state()
        if not whole:
            raise _too_short(config, progress)
        seconds = max(time.monotonic() - first_time, 1e-9)
        speed = (progress.step - first_step) * optim.batch_size / seconds
        summary = _summarise(config, progress, optimiser, recorder.fit, speed)
        recorder.end(summary)
        return summary


def _take_in(
    figures: StepFigures, progress: Progress, optimiser: Optimiser, recorder: Recorder
) -> None:
    """Update the running mean, and handle skipped steps."""
    guard = optimiser.guard
    if figures.taken:
        progress.take_loss(figures.bits_per_dim)
    elif figures.rolled_back:
        progress.lr_scale /= 2
        recorder.rollback()
    elif guard.wants_rollback():
        raise CaflowError(
            f"training does not recover: {guard.skipped} of {progress.step + 1} steps had "
            "a loss that was not finite, or far above the last good one",
            f"--lr {optimiser.config.lr / 4:g}, and check the data",
        )


def _too_short(config: RunConfig, progress: Progress) -> CaflowError:
    """The error of a run that has no model yet: its state goes on with a larger budget."""
    optim = config.optim
    larger = (
        f"--images {10 * progress.images(optim)}"
        if optim.images is not None
        else f"--minutes {10 * progress.elapsed / 60:.3g}"
    )
    return CaflowError(
        f"the budget ended after step {progress.step}, while the guide learned alone: the flows "
        "have not learned, so no model is written; the state is saved",
        f"caflow train --out {config.out} --resume {larger}",
    )


def _summarise(
    config: RunConfig, progress: Progress, optimiser: Optimiser, fit: Fit, speed: float
) -> RunSummary:
    return RunSummary(
        steps=progress.step,
        images=progress.images(config.optim),
        minutes=progress.elapsed / 60,
        images_per_second=speed,
        train_bits_per_dim=fit.train,
        val_bits_per_dim=fit.val,
        gap_bits_per_dim=fit.val - fit.train,
        best_val_bits_per_dim=progress.best_bits_per_dim,
        val_picture_loss=fit.picture,
        skipped_steps=optimiser.guard.skipped,
        rollbacks=optimiser.guard.rollbacks,
    )
