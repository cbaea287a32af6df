"""The trainer: what a run trains, its steps, and its saved states.

A state is a folder of safetensors and JSON files, which is renamed into place.
"""

import contextlib
import json
import math
import shutil
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from .. import devices
from ..errors import CaflowError, check_usage, reason_of, usage_error
from ..images import atomic_write
from ..layers import ActNorm
from ..model import CAFlow
from .config import RunConfig
from .log import Progress, StepFigures, on_main_process, sum_over_processes
from .losses import Loss, LossModule, perceptual_distance
from .optim import (
    EMA,
    Guard,
    Muon,
    named_parameters,
    parameter_groups,
    use_bf16,
)
from .phases import Phase, phases_of
from .sets import Batch

_BETAS = (0.9, 0.99)  # of Adam
_CLIP = 1.0  # maximum gradient norm
_RECORD = "state.json"


class Trainer:
    """The state of a run: model, averaged weights, optimizer, guard, phases, progress.

    However a batch is divided among processes and parts, the step is the same up to rounding.

    Raises:
        CaflowError: The batch cannot be divided, or LPIPS is unavailable.
    """

    def __init__(self, model: CAFlow, accelerator: Accelerator, config: RunConfig) -> None:
        optim = config.optim
        device = accelerator.device
        share = accelerator.num_processes * optim.accumulate
        check_usage(
            optim.batch_size % share == 0,
            f"a batch of {optim.batch_size} cannot be divided into {share} parts: "
            f"{accelerator.num_processes} processes times optim.accumulate",
            f"--batch-size {-(-optim.batch_size // share) * share}",
        )
        bf16 = optim.bf16 and devices.convolves_bf16(device)
        use_bf16(model, bf16)
        model.to(device).train()
        self.model = model
        self.accelerator = accelerator
        self.config = config
        perceptual = partial(
            perceptual_distance, config.perceptual_weights, device, config.task.size, bf16
        )
        self.phases = phases_of(optim, model.config.flow, config.samples, perceptual, config.width)
        self.progress = Progress(phase=self._next_phase(-1))
        groups = parameter_groups(model, self.phases, optim.method)
        self.rule = Muon(groups, bf16=bf16, lr=optim.lr, betas=_BETAS, fused=True)
        self.ema = EMA(model, optim.ema)
        self.guard = Guard()
        self.out = Path(config.out)
        self.width = config.width
        self._parameters = list(model.parameters())
        self._prepared: tuple[Phase, nn.Module] | None = None

    @torch.no_grad()
    def initialize(self, batch: Batch) -> None:
        """Initialize actnorms that are not initialized yet, from the moments of a whole batch.

        This happens before the first step, so that the number of parts makes no difference.
        """
        layers = (m for m in self.model.modules() if isinstance(m, ActNorm))
        if not all(layer.is_initialized for layer in layers):
            target, cond, noise, *_ = map(self._place, batch[:3])
            self.model(target, cond, noise, width=self.width)

    @property
    def phase(self) -> Phase:
        return self.phases[self.progress.phase]

    def _next_phase(self, number: int) -> int:
        """Index of the next phase of non-zero length after `number`, else of the last phase."""
        last = len(self.phases) - 1
        for later in range(number + 1, last):
            if self.phases[later].begin < self.phases[later].end:
                return later
        return last

    def phase_ends(self, spent: float) -> bool:
        return self.progress.phase + 1 < len(self.phases) and spent >= self.phase.end

    def begin_next_phase(self, batch: Batch) -> None:
        """Begin the next phase, with its first batch.

        Actnorms that are not yet initialized get the moments of the current activations, which the
        previous phase has changed. Averaged weights and running means of losses start anew.
        """
        self.progress.phase = self._next_phase(self.progress.phase)
        self.progress.phase_began_at = self.progress.step
        if not self.phase.guide_alone:
            self.initialize(batch)
        self.ema.updates = 0
        self.guard.mean = None
        self.progress.losses = 0
        self.progress.best = math.inf

    def step(self, batch: Batch, lr: float) -> StepFigures:
        """Make one step on the loss of the current phase, with clipping, guard and averaging.

        After some bad steps in a row, training goes on from the averaged weights: a good step may
        have led to weights at which most batches are bad.

        Args:
            batch: This process's share of the batch.
            lr: The learning rate; each parameter gets its share of it.
        """
        for group in self.rule.param_groups:
            group["lr"] = lr * group["shares"][self.progress.phase]
        module = self._module()
        parts = batch.split(self.config.optim.accumulate)
        losses = []
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(module):
                loss: Loss = module(*(self._place(x) for x in part if x is not None))
                (loss.loss / len(parts)).backward()
                losses.append(devices.to_float64(torch.stack(loss).detach()))
        clipped = torch.nn.utils.clip_grad_norm_(self._parameters, _CLIP)
        # One synchronization with the device per step.
        mean = torch.stack(losses).mean(0)
        *means, norm = torch.cat([mean, devices.to_float64(clipped)[None]]).tolist()
        shares = [mean / self.accelerator.num_processes for mean in means]
        total, bits, cond_bits, image = sum_over_processes(self.accelerator, shares)
        taken = self.guard.accepts(total, norm)
        if taken:
            self.rule.step()
            self.ema.update()
        elif self.ema.updates and self.guard.goes_back():
            self.model.load_state_dict(self.ema.model.state_dict())
            for moments in self.rule.state.values():
                for name in moments.keys() & {"momentum", "exp_avg"}:
                    moments[name].zero_()
        self.rule.zero_grad(set_to_none=True)
        return StepFigures(total, bits, cond_bits, image, norm, taken)

    def _module(self) -> nn.Module:
        """The objective of the current phase, prepared for device and processes.

        Frozen parameters have `requires_grad` off. `DistributedDataParallel` always waits for the
        parameters that require a gradient at its creation, so each phase has its own module.
        """
        phase = self.phase
        if self._prepared is None or self._prepared[0] is not phase:
            for name, parameter in named_parameters(self.model).items():
                parameter.requires_grad_(phase.share(name, parameter) > 0)
            self._prepared = None
            self.accelerator.free_memory()  # the buffers of the previous phase's module
            module = LossModule(self.model, phase.objective)
            self._prepared = phase, self.accelerator.prepare_model(module)
        return self._prepared[1]

    def _place(self, x: Tensor) -> Tensor:
        x = x.to(self.accelerator.device)
        return devices.to_layout(x) if x.ndim == 4 else x

    # --- states -----------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a state, `state/step-NNNNNNNN`, atomically, and keep the one before it.

        The other processes wait.

        Raises:
            CaflowError: The folder cannot be written to. Older states do not change.
        """
        on_main_process(self.accelerator, self._write_state)

    def _write_state(self) -> None:
        final = self.out / "state" / f"step-{self.progress.step:08d}"
        record = {
            "guard": asdict(self.guard),
            "ema_updates": self.ema.updates,
            **asdict(self.progress),
        }
        if final.exists():  # written after this step, but perhaps before its validation
            atomic_write(final / _RECORD, json.dumps(record, indent=2).encode())
            return
        temporary = final.with_name(".new")
        moments = {
            f"{name}.{moment}": value
            for name, parameter in named_parameters(self.model).items()
            for moment, value in self.rule.state.get(parameter, {}).items()
        }
        files = {
            "model": self.model.state_dict(),
            "ema": self.ema.model.state_dict(),
            "optimizer": moments,
        }
        try:
            temporary.mkdir(parents=True, exist_ok=True)
            for name, tensors in files.items():
                plain = {key: tensor.cpu().contiguous() for key, tensor in tensors.items()}
                atomic_write(temporary / f"{name}.safetensors", save(plain))
            atomic_write(temporary / _RECORD, json.dumps(record, indent=2).encode())
            temporary.rename(final)
        except (OSError, CaflowError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            step = self.progress.step
            raise CaflowError(
                f"cannot write the state of step {step}: {getattr(error, 'message', error)}",
                f"free space, then: caflow train --out {self.out} --resume",
            ) from error
        for state in states_of(self.out)[:-2]:
            shutil.rmtree(state, ignore_errors=True)

    def resume(self) -> None:
        """Load the newest state.

        Raises:
            CaflowError: (exit 2) there is no state, it is damaged, or has another architecture.
        """
        states = states_of(self.out)
        check_usage(
            bool(states),
            f"no state to resume in {str(self.out / 'state')!r}",
            "leave --resume out, or start a new --out from the run's model with --init-from",
        )
        state = states[-1]
        try:
            record = json.loads((state / _RECORD).read_bytes())
            for name in vars(self.progress):
                setattr(self.progress, name, record[name])
            for name, value in record["guard"].items():
                setattr(self.guard, name, value)
            self.ema.updates = record["ema_updates"]
            self.model.load_state_dict(load_file(state / "model.safetensors"))
            self.ema.model.load_state_dict(load_file(state / "ema.safetensors"))
            parameters = named_parameters(self.model)
            for key, value in load_file(state / "optimizer.safetensors").items():
                name, _, moment = key.rpartition(".")
                parameter = parameters[name]
                # The fused optimizer works on raw memory: moments need their parameter's layout.
                stored = torch.empty_like(parameter) if value.ndim else value.to(parameter.device)
                self.rule.state[parameter][moment] = stored.copy_(value)
        except (OSError, ValueError, LookupError, RuntimeError, SafetensorError) as error:
            raise usage_error(
                f"cannot resume from {str(state)!r}: {reason_of(error)}",
                "do not change [flow] of a run; if the state is damaged, remove it to resume from "
                "the one before",
            ) from error


def states_of(out: Path) -> list[Path]:
    return sorted(out.glob("state/step-*"))  # oldest first
