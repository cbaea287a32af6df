"""The training loop: from data to step to checkpoint."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import TypedDict

import torch
from accelerate import Accelerator

from ..checkpoint import read_info
from ..config import Config, FlowConfig
from ..devices import select_device
from ..errors import CaflowError, check_usage
from ..guides import External
from ..model import CAFlow
from ..records import Table, Unpack, check_names
from .config import RunConfig, to_toml
from .external import read_tensors
from .folder import begun, check_unchanged, open_run
from .log import Event, EventLog, RunSummary, on_main_process, sum_over_processes
from .phases import GUIDE
from .resolve import with_defaults
from .sets import Batch, Batches, Dataset, open_dataset
from .trainer import Trainer
from .validate import Validation, ValidationMetrics, validate

_SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "stopped by SIGTERM"}  # Ctrl-C first


class TrainOptions(TypedDict, total=False):
    """The keywords of `train`."""

    resume: bool  # continue from the newest state in `config.out`
    report: Callable[[Event], None] | None  # called with every line of `metrics.jsonl`


def train(config: RunConfig, **options: Unpack[TrainOptions]) -> RunSummary:
    """Maximize log p(w|y) + λ log p(y) on a set of images (paper section 4.3, appendix B).

    Writes into `config.out`: `config.toml`, `metrics.jsonl`, `curve.png`, `samples/*.png`,
    `last.safetensors` and `best.safetensors` (averaged weights; best by validation bits/dim), and
    `state/`, from which `resume=True` continues.

    Under `accelerate launch` or `torchrun` every process calls this; only the main process writes
    and reports.

    Args:
        config: The config of the run.
        options: `resume` continues from the newest state in `config.out`; `report` is a function
            that is called with every line of `metrics.jsonl`.

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
            before the flows train, a keyword is unknown, or the run does not recover from bad
            steps.
    """
    check_names(options, TrainOptions.__annotations__)
    resume = options.get("resume", False)
    config = _filled(config, resume)
    to_toml(config)  # fail early on values that a config file cannot hold, before reading data
    accelerator = _accelerator(config.device)
    out = Path(config.out)
    with contextlib.ExitStack() as stack:
        on_main_process(accelerator, lambda: stack.enter_context(open_run(out, resume)))
        if resume:
            check_unchanged(config)

        # Model and optimizer, new or from the newest state.
        torch.manual_seed(config.seed)
        trainer = Trainer(starting_model(config, resume), accelerator, config)
        if resume:
            trainer.resume()

        # Data.
        train_set = stack.enter_context(open_dataset(config, "train"))
        val_set = stack.enter_context(open_dataset(config, "choose"))
        validation = Validation(train_set, val_set, config.validation_images, config.seed)

        # Events and signals.
        log = EventLog(config, accelerator, trainer.progress, options.get("report"))
        on_main_process(accelerator, lambda: log.begin(train_set, val_set))
        signals = stack.enter_context(noted_signals())

        batches = _batches(trainer, train_set)
        stack.callback(batches.close)
        return _run(trainer, batches, validation, log, signals)


def _batches(trainer: Trainer, train_set: Dataset) -> Batches:
    config = trainer.config
    return Batches(
        train_set,
        config.optim.batch_size,
        config.seed,
        config.orientations,
        normal_noise=config.flow.dequantization == "variational",
        width=config.width,
        process=trainer.accelerator.process_index,
        processes=trainer.accelerator.num_processes,
    )


def _accelerator(name: str) -> Accelerator:
    device = select_device(name)
    if name.startswith("cuda:"):  # for "cuda", each process has its own device already
        torch.accelerator.set_device_index(device)
    return Accelerator(mixed_precision="no", cpu=device.type == "cpu")


def _filled(config: RunConfig, resume: bool) -> RunConfig:
    """The config with defaults for what is None; those of a resumed run are what it began with.

    A run from a model that learned from a set of the same name holds out the same images.
    """
    began = begun(config.out) if resume else None
    if config.hold_out is None:
        rule = began.hold_out if began is not None else "20+"
        if began is None and config.init_from:
            info = read_info(Path(config.init_from))
            if info.training.get("data") == Path(config.data).name:
                rule = info.training.get("hold_out")
                check_usage(
                    rule is not None,
                    f"{config.init_from!r} does not state how images were held out (hold_out)",
                    "--set hold_out=2%, or 20+, as in its training",
                )
        config = replace(config, hold_out=rule)
    if began is not None:
        if config.transpose is None:
            config = replace(config, transpose=began.transpose)
        names = ("guide_first", "guide_first_lr", "guide_perceptual")
        unset = [name for name in names if getattr(config.optim, name) is None]
        before = {name: getattr(began.optim, name) for name in unset}
        config = replace(config, optim=replace(config.optim, **before))
    start = None
    if config.init_from and config.optim.guide_first is None:
        start = read_info(Path(config.init_from)).config.flow
    return with_defaults(config, start)


def _run(
    trainer: Trainer,
    batches: Batches,
    validation: Validation,
    log: EventLog,
    signals: Callable[[], list[float]],
) -> RunSummary:
    """Train until the budget is spent; log, validate and save."""
    config = trainer.config
    progress = trainer.progress
    first_step = progress.step
    first = time.monotonic()
    start = first - progress.elapsed
    metrics: ValidationMetrics | None = None  # of the model after the last step, if measured
    _begin(trainer, batches, validation, log)
    while (spent := progress.spent(config.optim)) < 1:
        taken, stopped = _step(trainer, batches, spent, start, log, signals)
        metrics = None
        if progress.step % config.validate_every == 0 and trainer.phase.validates:
            metrics = validate(validation, trainer.ema.model, trainer.phase, log)
        if (progress.step % config.save_every == 0 and taken) or stopped:
            trainer.save()
        if stopped:
            raise Stopped(
                f"{_SIGNALS[stopped]} after step {progress.step}; the state is saved",
                f"caflow train --out {config.out} --resume",
                128 + stopped,  # as shells report it
            )

    images = (progress.step - first_step) * config.optim.batch_size
    return _finish(trainer, validation, metrics, log, images / max(time.monotonic() - first, 1e-9))


def _begin(trainer: Trainer, batches: Batches, validation: Validation, log: EventLog) -> None:
    """Measure the model that the run starts from, and initialize what is new."""
    config = trainer.config
    progress = trainer.progress
    if config.init_from and progress.step == 0 and trainer.phase.validates:
        began_as = validation.measure(trainer.ema.model, trainer.accelerator, trainer.phase)
        log.announce("start", **began_as.figures)
    if progress.spent(config.optim) < 1 and not trainer.phase.guide_alone:
        trainer.initialize(batches(progress.step))


def _step(
    trainer: Trainer,
    batches: Batches,
    spent: float,
    start: float,
    log: EventLog,
    signals: Callable[[], list[float]],
) -> tuple[bool, signal.Signals | None]:
    """Take and log a step, the first of the next phase if its time has come.

    Returns whether the weights have changed, and the signal that any process has received.
    """
    config = trainer.config
    progress = trainer.progress
    began = time.monotonic()
    batch = _batch(trainer, batches, spent, log)
    epoch = progress.images(config.optim) // len(batches.dataset)
    phase_step = progress.step - progress.phase_began_at
    lr = trainer.phase.rate(phase_step, spent, epoch)
    figures = trainer.step(batch, lr)
    # The clock of the main process counts for the run, and signals to any of them.
    clock = time.monotonic() - start if trainer.accelerator.is_main_process else 0.0
    progress.elapsed, *flags = sum_over_processes(trainer.accelerator, [clock, *signals()])
    if figures.taken:
        progress.take_loss(figures.bits_per_dim)
    progress.step += 1
    if trainer.guard.gives_up():
        raise CaflowError(
            f"training does not recover: {trainer.guard.skipped} of {progress.step} steps had a "
            "loss that was not finite, or far above earlier ones",
            f"check the data, or: caflow train --out {config.out} --resume --lr "
            f"{config.optim.lr / 4:g}",
        )
    seconds = time.monotonic() - began
    log.step(figures, lr, seconds, trainer.guard.skipped, trainer.phase.guide_alone)
    stopped = next((s for s, flag in zip(_SIGNALS, flags, strict=True) if flag), None)
    return figures.taken, stopped


def _batch(trainer: Trainer, batches: Batches, spent: float, log: EventLog) -> Batch:
    """The batch of the next step, with which the next phase begins if its time has come."""
    batch = batches(trainer.progress.step)
    if trainer.phase_ends(spent):
        reached = f"{trainer.phase.name}: {trainer.progress.running:.4f}"
        trainer.begin_next_phase(batch)
        log.announce("note", text=f"{reached}; next: {trainer.phase.name}")
    return batch


def _finish(
    trainer: Trainer,
    validation: Validation,
    metrics: ValidationMetrics | None,
    log: EventLog,
    images_per_second: float,
) -> RunSummary:
    """Validate, unless the last step did, save, and summarize the run.

    Raises:
        CaflowError: The flows have not trained.
    """
    config = trainer.config
    progress = trainer.progress
    # If the run started from a model, its flows are trained, whatever the phase.
    has_model = trainer.phase.validates or config.init_from is not None
    if has_model and metrics is None:
        metrics = validate(validation, trainer.ema.model, trainer.phase, log)
    trainer.save()
    if metrics is None:
        raise CaflowError(
            f"the budget ended after step {progress.step}, while the guide trained alone: the "
            "flows have not trained, so no model is written; the state is saved",
            f"caflow train --out {config.out} --resume, with larger --minutes or --images",
        )
    train = metrics.train_bits_per_dim
    val = metrics.val_bits_per_dim
    summary = RunSummary(
        steps=progress.step,
        images=progress.images(config.optim),
        minutes=progress.elapsed / 60,
        images_per_second=images_per_second,
        train_bits_per_dim=train,
        val_bits_per_dim=val,
        gap_bits_per_dim=None if train is None or val is None else val - train,
        best_val_bits_per_dim=None if val is None else progress.best_bits_per_dim,
        val_image_loss=metrics.val_image_loss,
        val_psnr=metrics.val_psnr,
        skipped_steps=trainer.guard.skipped,
    )
    fields = asdict(summary)
    del fields["images"]  # every event has them
    log.announce("end", **fields)
    return summary


# --- the model and signals -----------------------------------------------------------------------


def starting_model(config: RunConfig, resume: bool) -> CAFlow:
    """Make a new model, or one with the weights of `init_from`.

    If that model's guide is a different network, its weights are not used. The new guide has no
    effect at first, because its last convolution is zero; or it is a published network, whose file
    is read. A resumed run reads neither file, because its state has all weights.

    Raises:
        CaflowError: The model differs in more than its guide (exit code 2), or a file cannot be
            read.
    """
    model = CAFlow(Config(config.flow, config.task))
    if resume:
        return model
    guide = config.guide
    weights = {}
    keeps_guide = False
    if config.init_from:
        path = Path(config.init_from)
        start = CAFlow.load(path)
        flow = start.config.flow
        check_usage(
            _besides_guide(flow) == _besides_guide(config.flow),
            f"{config.init_from!r} has a different architecture from the run",
            "take the run's [flow] from that model's config; only its guide may differ",
        )
        published = read_info(path).guide.get("sha256")
        same_network = published == (guide.sha256 if guide else None)
        keeps_guide = same_network and flow.same_guide(config.flow)
        for name, tensor in start.state_dict().items():
            if keeps_guide or not name.startswith(GUIDE):
                weights[name] = tensor
    if guide and not keeps_guide:
        assert isinstance(model.density.A.guide, External)
        model.density.A.guide.set_tensors(read_tensors(Path(guide.file), guide.sha256))
    model.load_state_dict(model.state_dict() | weights)
    return model


def _besides_guide(flow: FlowConfig) -> Table:
    # R reads the image that a guide predicts, so both must have a guide, or neither.
    fields = {k: v for k, v in asdict(flow).items() if k not in FlowConfig.GUIDE_FIELDS}
    return fields | {"guided": bool(flow.guides)}


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
    before = {n: signal.signal(n, note) for n in _SIGNALS if in_main}
    try:
        yield lambda: [float(received == number) for number in _SIGNALS]
    finally:
        for number, handler in before.items():
            # None: not installed from Python, so it cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
