"""The step of the optimiser, on one device or many, whole or in parts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..devices import check_compiler, memory_format, net_type, wide, wide_device
from ..errors import EXIT_USAGE, CaflowError
from ..layers import ActNorm
from ..model import CAFlow
from .batches import Batch
from .config import OptimConfig, SamplesConfig
from .ema import EMA
from .guard import Guard
from .muon import Muon, has_orthogonal_steps
from .objective import Loss, ObjectiveModule, Perceptual
from .parameters import named_parameters
from .phases import Phase, Phases, phases_of
from .processes import sum_over_processes

__all__ = ["Optimiser", "StepFigures", "parameter_groups"]


@dataclass(frozen=True)
class StepFigures:
    """The figures of a step, over all processes."""

    loss: float  # bits/dim, with λ log p(y)
    bits_per_dim: float  # of log p(w|y) alone
    cond_bits_per_dim: float  # of log p(y), a dimension of y
    picture: float  # the loss of pictures, 0 where none teach
    grad_norm: float  # before clipping
    taken: bool  # False: the guard refused the step
    rolled_back: bool
    messages: list[float]  # the sums over processes of what each said


def parameter_groups(model: CAFlow, phases: Sequence[Phase], method: str) -> list[dict[str, Any]]:
    """Group the parameters by `shares`, their shares of the learning rate in each phase.

    With `method` "muon" the groups also say by `orthogonal` which ones that rule moves.
    """
    groups: dict[tuple[Any, ...], list[Tensor]] = {}
    for name, parameter in named_parameters(model).items():
        shares = tuple(phase.share(name, parameter) for phase in phases)
        orthogonal = method == "muon" and has_orthogonal_steps(name, parameter)
        groups.setdefault((shares, orthogonal), []).append(parameter)
    return [
        {"params": params, "shares": shares, "orthogonal": orthogonal}
        for (shares, orthogonal), params in groups.items()
    ]


class Optimiser:
    """The model, averaged weights, optimiser, guard and phases of a run.

    A step is the same, up to rounding, however its batch is divided among processes and parts.

    Args:
        model: Trained in place.
        accelerator: Accelerate's object, which knows device and process.
        optim: Settings of the optimiser, and of the phases.
        perceptual: A distance of pictures, for phases that learn from it.
        samples: Settings of the phase in which draws teach.

    Raises:
        CaflowError: The batch cannot be divided, or there is no compiler.
    """

    def __init__(
        self,
        model: CAFlow,
        accelerator: Accelerator,
        optim: OptimConfig,
        perceptual: Perceptual | None = None,
        samples: SamplesConfig | None = None,
    ) -> None:
        share = accelerator.num_processes * optim.accumulate
        if optim.batch_size % share:
            raise CaflowError(
                f"a batch of {optim.batch_size} cannot be divided among "
                f"{accelerator.num_processes} ranks and {optim.accumulate} parts",
                f"--batch-size {-(-optim.batch_size // share) * share}",
                EXIT_USAGE,
            )
        self.model, self.accelerator, self.config = model, accelerator, optim
        if optim.compile:
            check_compiler(accelerator.device)
        model.use_bf16(optim.bf16)
        model.checkpoint_activations(optim.checkpoint_activations)
        model.to(accelerator.device).train()
        samples = samples or SamplesConfig()
        self.phases = Phases(phases_of(optim, model.config.flow, perceptual, samples))
        # Of one type everywhere: weights of processes may not drift apart.
        rough = net_type(torch.float32, accelerator.device, True, optim.bf16) is torch.bfloat16
        [many] = sum_over_processes(accelerator, [float(rough)])
        self.rule = Muon(
            parameter_groups(model, self.phases, optim.method),
            bf16=many == accelerator.num_processes,
            lr=optim.lr,
            betas=(0.9, optim.beta2),
            fused=True,
        )
        self._parameters = list(model.parameters())
        self._prepared: tuple[Phase, nn.Module] | None = None
        self._compiled = False
        self.ema = EMA(model, optim.ema)
        self.guard = Guard({"model": model, "ema": self.ema, "optimizer": self.rule})

    @torch.no_grad()
    def initialise(self, batch: Batch) -> None:
        """Set actnorms that are not set yet, from the moments of the whole first batch.

        This happens before the first step, so that the number of its parts makes no difference.
        """
        layers = (m for m in self.model.modules() if isinstance(m, ActNorm))
        if not all(layer.is_initialized for layer in layers):
            self.model(*map(self._place, batch.points))
        if self.config.compile and not self._compiled:
            # Only now: initialising would be a second set of graphs.
            self.model.compile_steps()
            self._compiled = True

    def begin_phase(self, batch: Batch) -> None:
        """Prepare for a phase that has just begun, with its first batch.

        Actnorms are set from the present activations, which the phase before has changed. The
        averaged weights start anew, and the guard forgets losses of another kind.
        """
        if self.phases.current.whole_model:
            self.initialise(batch)
        self.ema.updates = 0
        self.guard.forget()

    def step(
        self, batch: Batch, lr: float, messages: Callable[[], Sequence[float]] = tuple
    ) -> StepFigures:
        """Make one step on the loss of the present phase, with clipping, guard and averaging.

        Args:
            batch: This process's share.
            lr: The learning rate; parameters get their shares of it.
            messages: Returns numbers that are summed over the processes in the same transfer.
        """
        optim = self.config
        for group in self.rule.param_groups:
            group["lr"] = lr * group["shares"][self.phases.number]
        module = self._module()
        parts = batch.split(optim.accumulate)
        device = wide_device(self.accelerator.device)
        sums = torch.zeros(len(Loss._fields), dtype=torch.float64, device=device)
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(module):
                sums += self._backward(module, part) / len(parts)
        clipped = torch.nn.utils.clip_grad_norm_(self._parameters, optim.clip)
        # One look at the device a step.
        *means, norm = torch.cat([sums, wide(clipped)[None]]).tolist()
        shares = [mean / self.accelerator.num_processes for mean in means]
        summed = sum_over_processes(self.accelerator, [*shares, *messages()])
        (loss, bits, cond_bits, picture), heard = summed[:4], summed[4:]
        taken = self.guard.accepts(loss, norm)
        if taken:
            self.rule.step()
            self.ema.update()
        self.rule.zero_grad(set_to_none=True)
        rolled_back = self.guard.wants_rollback() and self.guard.roll_back()
        return StepFigures(loss, bits, cond_bits, picture, norm, taken, rolled_back, heard)

    def _module(self) -> nn.Module:
        """The objective of the present phase, prepared for device and processes.

        Parameters that do not learn have `requires_grad` off. `DistributedDataParallel` waits for
        the parameters that need a gradient when it is created, so each phase has its own module.
        """
        phase = self.phases.current
        if self._prepared is None or self._prepared[0] is not phase:
            for name, parameter in named_parameters(self.model).items():
                parameter.requires_grad_(phase.learns(name, parameter))
            if self._prepared is not None:
                self._prepared = None
                self.accelerator.free_memory()  # the buffers of the last phase's module
            module = ObjectiveModule(self.model, phase.objective)
            self._prepared = phase, self.accelerator.prepare_model(module)
        return self._prepared[1]

    def _backward(self, module: nn.Module, part: Batch) -> Tensor:
        """Add the part's gradient. Returns the figures of its `Loss`, (4,) float64."""
        loss: Loss = module(*map(self._place, part))
        (loss.loss / self.config.accumulate).backward()
        return wide(torch.stack(loss).detach())

    def _place(self, x: Tensor) -> Tensor:
        device = self.accelerator.device
        return x.to(device, memory_format=memory_format(device)) if x.ndim == 4 else x.to(device)
