"""The training loop: from data to step to checkpoint."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from .. import devices
from ..errors import CaflowError, check_usage
from ..layers import ActNorm
from ..model import CAFlow
from . import state
from .config import RunConfig, to_toml
from .data import Batch, Batches, open_dataset
from .log import Event, EventLog, Progress, RunSummary, StepFigures
from .losses import ImageLoss, Loss, LossModule, perceptual_distance
from .optim import (
    EMA,
    Guard,
    Muon,
    checkpoint_activations,
    compile_steps,
    named_parameters,
    parameter_groups,
    use_bf16,
)
from .phases import Phase, phases_of
from .processes import Stopped, make_accelerator, noted_signals, on_main_process, sum_over_processes
from .validate import Fit, Validation, validate

_BETAS, _CLIP = (0.9, 0.99), 1.0  # of Adam, and of the gradient's norm


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
        resume: Go on from the newest state in `config.out`.
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
        CaflowError: The data is unusable, the folder holds another run or is in use, the config
            would make another run of one that goes on, the disk is full, the budget ends before the
            flows train, or the run does not recover from bad steps.
    """
    to_toml(config)  # fails early on what a config file cannot hold, before data is read
    optim, out = config.optim, Path(config.out)
    accelerator = make_accelerator(config)
    with contextlib.ExitStack() as stack:
        on_main_process(accelerator, lambda: stack.enter_context(state.open_run(out, resume)))
        if resume:
            state.check_unchanged(config)

        # Model and optimiser, new or from the newest state.
        torch.manual_seed(config.seed)
        trainer = Trainer(state.starting_model(config, resume), accelerator, config)
        progress, guard = trainer.progress, trainer.guard
        notes = trainer.restore() if resume else []
        if progress.spent(optim) >= 1:
            used = "the budget of this run is used up"
            notes.append(f"{used}: a larger --images or --minutes extends it")

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

        # Events, signals, and the clock of the main process, which is the run's.
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
                if not trainer.states.roll_back():
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
            stopped = Stopped.by(flags, progress.step, config.out)
            if (progress.step % config.save_every == 0 and figures.taken) or stopped:
                trainer.save()
            if stopped:
                raise stopped

        # The flows of a model that the run began with have trained, whatever the phase.
        has_model = not trainer.phase.guide_alone or config.init_from is not None
        if has_model and validated_at != progress.step:
            fit = validate(validation, trainer.ema.model, trainer.phase, log)
        if trainer.saved_at != progress.step:
            trainer.save()
        if not has_model:
            raise CaflowError(
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


class Trainer:
    """The state of a run: model, average, optimiser, guard, phases, progress.

    A step is the same, up to rounding, however its batch is divided among processes and parts.

    Raises:
        CaflowError: The batch cannot be divided, there is no compiler, or LPIPS cannot be had.
    """

    def __init__(self, model: CAFlow, accelerator: Accelerator, config: RunConfig) -> None:
        optim, processes, device = config.optim, accelerator.num_processes, accelerator.device
        share = processes * optim.accumulate
        check_usage(
            optim.batch_size % share == 0,
            f"a batch of {optim.batch_size} cannot be divided among {processes} ranks and "
            f"{optim.accumulate} parts",
            f"--batch-size {-(-optim.batch_size // share) * share}",
        )
        if optim.compile:
            devices.check_compiler(device)
        use_bf16(model, optim.bf16)
        checkpoint_activations(model, optim.checkpoint_activations)
        model.to(device).train()
        self.model, self.accelerator, self.config = model, accelerator, config

        def perceptual() -> ImageLoss:
            weights, size = config.perceptual_weights, config.task.size
            return perceptual_distance(weights, device, size, optim.bf16)

        self.phases = phases_of(optim, model.config.flow, config.samples, perceptual)
        self.progress = Progress(phase=self._next_phase(-1))
        # Of one type everywhere: weights of processes may not drift apart.
        net_type = devices.net_type(torch.float32, device, True, optim.bf16)
        [many] = sum_over_processes(accelerator, [float(net_type is torch.bfloat16)])
        groups = parameter_groups(model, self.phases, optim.method)
        self.rule = Muon(groups, bf16=many == processes, lr=optim.lr, betas=_BETAS, fused=True)
        self.ema = EMA(model, optim.ema)
        self.guard = Guard()
        parts = model, self.ema, self.rule, self.guard, self.progress
        self.states = state.States(Path(config.out), config.save_every, *parts)
        self.saved_at = -1  # the step of the last state
        self._parameters = list(model.parameters())
        self._prepared: tuple[Phase, nn.Module] | None = None
        self._compiled = False

    @torch.no_grad()
    def initialise(self, batch: Batch) -> None:
        """Set actnorms that are not set yet, from the moments of the whole first batch.

        This happens before the first step, so that the number of its parts makes no difference.
        """
        layers = (m for m in self.model.modules() if isinstance(m, ActNorm))
        if not all(layer.is_initialized for layer in layers):
            self.model(*map(self._place, batch.points))
        if self.config.optim.compile and not self._compiled:
            # Only now: initialising would be a second set of graphs.
            compile_steps(self.model)
            self._compiled = True

    @property
    def phase(self) -> Phase:
        """The present phase."""
        return self.phases[self.progress.phase]

    def _next_phase(self, number: int) -> int:
        """The number of the next phase of non-zero length after this one, or of the last."""
        later = range(number + 1, len(self.phases))
        long = (n for n in later if self.phases[n].begin < self.phases[n].end)
        return next(long, len(self.phases) - 1)

    def phase_ends(self, spent: float) -> bool:
        """Whether the next phase begins when this share of the run's budget is spent."""
        return self.progress.phase + 1 < len(self.phases) and spent >= self.phase.end

    def begin_next_phase(self, batch: Batch) -> None:
        """Begin the next phase, with its first batch.

        Actnorms are set from the present activations, which the phase before has changed. The
        averaged weights start anew, and losses of another kind are forgotten.
        """
        self.progress.phase = self._next_phase(self.progress.phase)
        self.progress.phase_began_at = self.progress.step
        if not self.phase.guide_alone:
            self.initialise(batch)
        self.ema.updates = 0
        self.guard.mean = None
        self.progress.losses, self.progress.best = 0, math.inf

    def step(
        self, batch: Batch, lr: float, messages: Callable[[], Sequence[float]] = tuple
    ) -> StepFigures:
        """Make one step on the loss of the present phase, with clipping, guard and averaging.

        Args:
            batch: This process's share.
            lr: The learning rate; parameters get their shares of it.
            messages: Returns numbers that are summed over the processes in the same transfer.
        """
        for group in self.rule.param_groups:
            group["lr"] = lr * group["shares"][self.progress.phase]
        module = self._module()
        parts = batch.split(self.config.optim.accumulate)
        device = devices.float64_device(self.accelerator.device)
        sums = torch.zeros(len(Loss._fields), dtype=torch.float64, device=device)
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(module):
                loss: Loss = module(*map(self._place, part))
                (loss.loss / len(parts)).backward()
                sums += devices.to_float64(torch.stack(loss).detach()) / len(parts)
        clipped = torch.nn.utils.clip_grad_norm_(self._parameters, _CLIP)
        # One look at the device per step.
        *means, norm = torch.cat([sums, devices.to_float64(clipped)[None]]).tolist()
        shares = [mean / self.accelerator.num_processes for mean in means]
        summed = sum_over_processes(self.accelerator, [*shares, *messages()])
        (total, bits, cond_bits, image), received = summed[:4], summed[4:]
        taken = self.guard.accepts(total, norm)
        if taken:
            self.rule.step()
            self.ema.update()
        self.rule.zero_grad(set_to_none=True)
        return StepFigures(total, bits, cond_bits, image, norm, taken, received)

    def _module(self) -> nn.Module:
        """The objective of the present phase, prepared for device and processes.

        Parameters that do not learn have `requires_grad` off. `DistributedDataParallel` waits for
        the parameters that need a gradient when it is created, so each phase has its own module.
        """
        phase = self.phase
        if self._prepared is None or self._prepared[0] is not phase:
            for name, parameter in named_parameters(self.model).items():
                parameter.requires_grad_(phase.share(name, parameter) > 0)
            if self._prepared is not None:
                self._prepared = None
                self.accelerator.free_memory()  # the buffers of the last phase's module
            module = LossModule(self.model, phase.objective)
            self._prepared = phase, self.accelerator.prepare_model(module)
        return self._prepared[1]

    def _place(self, x: Tensor) -> Tensor:
        device = self.accelerator.device
        layout = devices.memory_format(device) if x.ndim == 4 else torch.preserve_format
        return x.to(device, memory_format=layout)

    def save(self) -> None:
        """Write a state to go on from."""
        on_main_process(self.accelerator, self.states.save)
        self.saved_at = self.progress.step

    def restore(self) -> list[str]:
        """Restore the newest readable state. Returns a note if there is a newer one.

        Raises:
            CaflowError: (exit 2) there is no state, or none fits.
        """
        failure = self.states.load_newest()
        phase, count = self.progress.phase + 1, len(self.phases)
        check_usage(
            1 <= phase <= count,
            f"the state is of phase {phase}, and this config has {count}",
            "go on with the config.toml that the run wrote when it began",
        )
        self.saved_at = self.progress.step
        return [failure] if failure else []
