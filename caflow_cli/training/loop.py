"""The training loop: from data to step to checkpoint; and the folder of a run."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from filelock import FileLock, Timeout

from ..config import Config, FlowConfig
from ..devices import select_device
from ..errors import CaflowError, check_usage, ensure, usage_error
from ..images import remove_leftovers
from ..model import CAFlow, read_info, upgrade
from ..records import parse, read_toml
from .config import RunConfig, to_toml
from .data import Batches, open_dataset
from .log import METRICS, Event, EventLog, RunSummary, on_main_process
from .phases import GUIDE, phases_of
from .trainer import Trainer, states_of
from .validate import Fit, Validation, validate

_SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "stopped by SIGTERM"}  # Ctrl-C first


def train(
    config: RunConfig,
    *,
    resume: bool = False,
    report: Callable[[Event], None] | None = None,
) -> RunSummary:
    """Maximise log p(w|y) + λ log p(y) on a set of images (paper section 4.3, appendix B).

    Writes into `config.out`: `config.toml`, `metrics.jsonl`, `curve.png`, `samples/*.png`,
    `last.safetensors` and `best.safetensors` (averaged weights; best by validation bits/dim), and
    `state/`, from which `resume=True` continues.

    Under `accelerate launch` or `torchrun` every process calls this; only the main process writes
    and reports.

    Args:
        config: The config of the run.
        resume: Continue from the newest state in `config.out`.
        report: Called with every line of `metrics.jsonl`.

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
        Stopped: The run received Ctrl-C (exit code 130) or SIGTERM (143). The state is written.
        CaflowError: The data is unusable, the folder has another run or is in use, the config of a
            resumed run has changed in what must not change, the disk is full, the budget ends
            before the flows train, or the run does not recover from bad steps.
    """
    to_toml(config)  # fail early on values that a config file cannot hold, before reading data
    optim, out = config.optim, Path(config.out)
    accelerator = make_accelerator(config)
    with contextlib.ExitStack() as stack:
        on_main_process(accelerator, lambda: stack.enter_context(open_run(out, resume)))
        if resume:
            check_unchanged(config)

        # Model and optimiser, new or from the newest state.
        torch.manual_seed(config.seed)
        trainer = Trainer(starting_model(config, resume), accelerator, config)
        progress, guard = trainer.progress, trainer.guard
        notes = trainer.restore() if resume else []
        if progress.spent(optim) >= 1:
            notes.append("the budget is used up: a larger --images or --minutes extends it")

        # Data.
        train_set = stack.enter_context(open_dataset(config, "train"))
        val_set = stack.enter_context(open_dataset(config, "val"))
        validation = Validation(train_set, val_set, config.validation_images, config.seed)
        batches = Batches(
            train_set,
            optim.batch_size,
            config.seed,
            config.flip,
            normal_noise=config.flow.dequantization == "variational",
            process=accelerator.process_index,
            processes=accelerator.num_processes,
        )
        stack.callback(batches.close)

        # Events, signals, and the clock: that of the main process counts for the run.
        log = EventLog(config, accelerator, progress, report)
        stack.callback(log.end_tracker)
        log.start_tracker()
        if not resume:
            trainer.save()
        on_main_process(accelerator, lambda: log.begin(train_set, val_set, notes))
        fit, validated_at = Fit(math.nan, math.nan), -1  # the last validation of this session
        signals = stack.enter_context(noted_signals())
        first_step, first_time = progress.step, time.monotonic()
        start = first_time - progress.elapsed

        def messages() -> list[float]:
            clock = time.monotonic() - start if accelerator.is_main_process else 0.0
            return [clock, *signals()]

        if progress.spent(optim) < 1 and not trainer.phase.guide_alone:
            trainer.initialise(batches(progress.step))
        while (spent := progress.spent(optim)) < 1:
            began, batch = time.monotonic(), batches(progress.step)
            if trainer.phase_ends(spent):
                reached = f"{trainer.phase.name}: {progress.running:.4f} {trainer.phase.unit}"
                trainer.begin_next_phase(batch)
                trainer.save()
                log.announce("note", text=f"{reached}; next: {trainer.phase.name}")

            # The step.
            epoch = progress.images(optim) // len(train_set)
            phase_step = progress.step - progress.phase_began_at
            lr = progress.lr_scale * trainer.phase.rate(phase_step, spent, epoch)
            figures = trainer.step(batch, lr, messages)
            progress.elapsed, *flags = figures.messages
            if figures.taken:
                progress.take_loss(figures.bits_per_dim)
            elif guard.wants_rollback():
                if not trainer.roll_back():
                    raise CaflowError(
                        f"training does not recover: {guard.skipped} of {progress.step + 1} steps "
                        "had a loss that was not finite, or far above the last good one",
                        f"--lr {optim.lr / 4:g}, and check the data",
                    )
                progress.lr_scale /= 2
                log.announce("rollback", lr_scale=progress.lr_scale, rollbacks=guard.rollbacks)
            progress.step += 1

            # Log, validate, save.
            log.step(figures, lr, time.monotonic() - began, trainer.phase.unit, guard.skipped)
            if progress.step % config.validate_every == 0 and not trainer.phase.guide_alone:
                fit = validate(validation, trainer.ema.model, trainer.phase, log)
                validated_at = progress.step
            stopped = next((s for s, flag in zip(_SIGNALS, flags, strict=True) if flag), None)
            if (progress.step % config.save_every == 0 and figures.taken) or stopped:
                trainer.save()
            if stopped:
                raise Stopped(
                    f"{_SIGNALS[stopped]} after step {progress.step}; the state is saved",
                    f"caflow train --out {config.out} --resume",
                    128 + stopped,  # as shells report it
                )

        # If the run started from a model, its flows are trained, whatever the phase.
        has_model = not trainer.phase.guide_alone or config.init_from is not None
        if has_model and validated_at != progress.step:
            fit = validate(validation, trainer.ema.model, trainer.phase, log)
        if trainer.saved_at != progress.step:
            trainer.save()
        ensure(
            has_model,
            f"the budget ended after step {progress.step}, while the guide trained alone: the "
            "flows have not trained, so no model is written; the state is saved",
            f"caflow train --out {config.out} --resume, with larger --minutes or --images",
        )
        passed = max(time.monotonic() - first_time, 1e-9)
        summary = RunSummary(
            steps=progress.step,
            images=progress.images(optim),
            minutes=progress.elapsed / 60,
            images_per_second=(progress.step - first_step) * optim.batch_size / passed,
            train_bits_per_dim=fit.train,
            val_bits_per_dim=fit.val,
            gap_bits_per_dim=fit.val - fit.train,
            best_val_bits_per_dim=progress.best_bits_per_dim,
            val_picture_loss=fit.image,
            skipped_steps=guard.skipped,
            rollbacks=guard.rollbacks,
        )
        log.announce("end", **{k: v for k, v in asdict(summary).items() if k != "images"})
        return summary


# --- the folder of a run --------------------------------------------------------------------------


@contextlib.contextmanager
def open_run(out: Path, resume: bool) -> Iterator[None]:
    """Create the folder of a run and lock it, so that only one process at a time uses it.

    Raises:
        CaflowError: (exit 2) the folder has a run already, is in use, or cannot be written to.
    """
    lock = FileLock(out / ".lock")
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise usage_error(
            f"another process is training in {str(out)!r}", "stop it, or choose another --out"
        ) from error
    except OSError as error:
        raise usage_error(
            f"cannot write to {str(out)!r}: {error.strerror}", "choose another --out"
        ) from error
    try:
        check_new(out, resume)  # under the lock: another process may just have finished a run
        for folder in (out, out / "samples"):
            remove_leftovers(folder)
        yield
    finally:
        with contextlib.suppress(OSError):
            if not (out / METRICS).exists():  # leave no trace of a run that never began
                (out / ".lock").unlink()
                lock.release()
                out.rmdir()  # only if empty
        lock.release()


def check_new(out: Path, resume: bool) -> None:
    """Raise CaflowError (exit 2) for a new run in a folder that has one. Writes nothing."""
    has_run = (out / METRICS).exists() and (bool(states_of(out)) or any(out.glob("*.safetensors")))
    check_usage(
        resume or not has_run,
        f"{str(out)!r} already holds a run",
        "add --resume, or choose another --out",
    )


def starting_model(config: RunConfig, resume: bool = False) -> CAFlow:
    """Make a new model, or one with the weights of `init_from`.

    If that model's guide is a different network, its weights are not used. The new guide has no
    effect at first, because its last convolution is zero. A resumed run does not read `init_from`,
    because its state has all weights.

    Raises:
        CaflowError: The model differs in more than its guide (exit code 2), or cannot be read.
    """
    model = CAFlow(Config(config.flow, config.task))
    if not config.init_from or resume:
        return model
    path = Path(config.init_from)
    weights, flow = CAFlow.load(path).state_dict(), read_info(path).config.flow
    # R reads the image that a guide predicts, so both must have a guide, or neither.
    ours, theirs = (
        {k: v for k, v in asdict(one).items() if k not in FlowConfig.GUIDE_FIELDS}
        | {"guided": bool(one.guides)}
        for one in (config.flow, flow)
    )
    check_usage(
        theirs == ours,
        f"{config.init_from!r} has a different architecture from the run",
        "take the run's [flow] from that model's config; only its guide may differ",
    )
    if not flow.same_guide(config.flow):
        fresh = {k: v for k, v in model.state_dict().items() if k.startswith(GUIDE)}
        weights = {k: v for k, v in weights.items() if not k.startswith(GUIDE)} | fresh
    model.load_state_dict(weights)
    return model


def check_unchanged(config: RunConfig) -> None:
    """Compare the config with `config.toml` in the run's folder, if that can be read.

    The seed determines order, noise and held-out images, and a state identifies its phase only by
    number. So the fields that affect them must not change during a run.

    Raises:
        CaflowError: (exit 2) seed, batch size, method, task, flow, phases, or how examples are made
            from images differ; or this version does not support the run.
    """
    try:
        values = read_toml(Path(config.out, "config.toml"))
    except CaflowError:
        return
    began = parse(RunConfig, upgrade(values))
    check_usage(
        not (began.flow.guides and values["optim"].get("guide_lr_share")),
        f"the run in {config.out!r} trained its guide with the flows, which is no longer supported",
        f"start a new --out, with --init-from {config.out}",
    )
    now, before = _fixed(config), _fixed(began)
    for name, value in now.items():
        check_usage(
            value == before[name],
            f"{name} is {value!r}, and the run in {config.out!r} began with {before[name]!r}",
            "keep that value: the budget, rates, weights above 0, intervals and device can "
            f"change; for anything else start a new --out, with --init-from {config.out}",
        )


def _fixed(config: RunConfig) -> dict[str, Any]:
    optim, task, has_masks = config.optim, asdict(config.task), config.masks is not None
    return {
        **{name: getattr(config, name) for name in ("seed", "flip", "crop")},
        "masks": has_masks,  # the same masks may have another path
        "mask_share": config.mask_share if has_masks else None,
        "optim.method": optim.method,
        "optim.batch_size": optim.batch_size,
        # Except for the default sampling settings.
        **{f"task.{k}": task[k] for k in task.keys() - {"tau", "candidates"}},
        **{f"flow.{k}": v for k, v in asdict(config.flow).items()},
        "phases": ", ".join(
            phase.name for phase in phases_of(optim, config.flow, config.samples)
        ),  # a weight of 0 omits a phase
    }


# --- processes and signals ------------------------------------------------------------------------


def make_accelerator(config: RunConfig) -> Accelerator:
    """Set up a run's device and processes. CaflowError (exit 2) if its tracker is missing."""
    check_usage(
        config.tracker is None or find_spec(config.tracker) is not None,
        f"tracker is {config.tracker!r}, which is not installed",
        f"pip install {config.tracker}, or leave tracker out",
    )
    device = select_device(config.device)
    if config.device.startswith("cuda:"):  # for "cuda", each process has its own device already
        torch.accelerator.set_device_index(device)
    return Accelerator(
        mixed_precision="no",
        cpu=device.type == "cpu",
        log_with=config.tracker,
        project_dir=config.out,
    )


class Stopped(CaflowError):
    """A signal stopped a run. Its state is written, and `--resume` continues from it."""


@contextlib.contextmanager
def noted_signals() -> Iterator[Callable[[], list[float]]]:
    """Only record the first SIGINT or SIGTERM, so that the run can finish its step and save.

    A second Ctrl-C raises `KeyboardInterrupt` at once. Outside the main thread, signals are not
    handled. Yields a function that returns a number for each signal: 1 if it was received, else 0.
    """
    received: int | None = None

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal received
        if received == number == signal.SIGINT:
            raise KeyboardInterrupt
        # A launcher forwards Ctrl-C as SIGTERM, but it counts as the user's SIGINT.
        if received is None or number == signal.SIGINT:
            received = number

    in_main = threading.current_thread() is threading.main_thread()
    before: dict[int, Any] = {n: signal.signal(n, note) for n in _SIGNALS if in_main}
    try:
        yield lambda: [float(received == number) for number in _SIGNALS]
    finally:
        for number, handler in before.items():
            # None: not installed from Python, so it cannot be restored.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
