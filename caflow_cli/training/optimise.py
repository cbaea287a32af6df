"""One step of the optimiser, on one device or many, whole or in parts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from ..devices import check_compiler, memory_format, wide, wide_device
from ..errors import EXIT_USAGE, CaflowError
from ..layers import ActNorm
from ..model import CAFlow, LossTerms, bits_per_dim
from .batches import Batch
from .config import OptimConfig
from .ema import EMA
from .guard import Guard
from .ranks import sum_over_ranks
from .start import GUIDE

__all__ = ["Figures", "Optimiser", "parameter_groups"]


@dataclass(frozen=True)
class Figures:
    """What a step measured, over the batches of all ranks."""

    loss: float  # bits/dim, with λ log p(y)
    bits_per_dim: float  # of log p(w|y) alone
    cond_bits_per_dim: float  # of log p(y), a dimension of y
    grad_norm: float  # before clipping
    taken: bool  # False: the guard refused the step
    rolled_back: bool
    messages: list[float]  # the sums over ranks of what each said


def parameter_groups(
    model: CAFlow, invconv_width: int, guide_share: float = 1.0
) -> list[dict[str, Any]]:
    """The parameters, each with the share of the learning rate that it gets.

    A step of Adam moves every entry of a C×C matrix by about the rate, and what the matrix does to
    a pixel by up to C times the rate. So that wide 1×1 convolutions do not set the limit for all
    others, their factors get `min(1, invconv_width / C)` of it. 0: all get the whole rate.

    The guide is deep, and each of its layers reads what the one before has become: at a rate that
    the shallow nets of steps like, its weights would be replaced within a few steps. It gets
    `guide_share`.
    """
    groups: dict[float, list[Tensor]] = {1.0: []}
    for name, parameter in model.named_parameters():
        if name.startswith(GUIDE):
            groups.setdefault(guide_share, []).append(parameter)
            continue
        square = name.endswith("invconv.lu") and invconv_width > 0
        share = min(1.0, invconv_width / len(parameter)) if square else 1.0
        groups.setdefault(share, []).append(parameter)
    return [{"params": params, "share": share} for share, params in groups.items()]


class Optimiser:
    """Model, average, optimiser and guard of a run.

    A step is the same, up to rounding, however its batch is shared out over ranks and parts.

    Args:
        model: Takes part in place.
        accelerator: Device and ranks.
        optim: As configured.

    Raises:
        CaflowError: A batch that cannot be shared out, or nothing to compile with.
    """

    def __init__(self, model: CAFlow, accelerator: Accelerator, optim: OptimConfig) -> None:
        share = accelerator.num_processes * optim.accumulate
        if optim.batch_size % share:
            raise CaflowError(
                f"a batch of {optim.batch_size} does not divide among {accelerator.num_processes} "
                f"ranks and {optim.accumulate} parts",
                f"--batch-size {-(-optim.batch_size // share) * share}",
                EXIT_USAGE,
            )
        self.model, self.accelerator, self.config = model, accelerator, optim
        if optim.compile:
            check_compiler(accelerator.device)
        model.use_bf16(optim.bf16)
        model.checkpoint_activations(optim.checkpoint_activations)
        model.to(accelerator.device).train()
        self.adam = torch.optim.Adam(
            parameter_groups(model, optim.invconv_lr_width, optim.guide_lr_share),
            lr=optim.lr,
            betas=(0.9, optim.beta2),
            fused=True,
        )
        self.parallel = accelerator.prepare_model(model)
        self._compiled = False
        self.ema = EMA(model, optim.ema)
        self.guard = Guard({"model": model, "ema": self.ema, "optimizer": self.adam})

    @torch.no_grad()
    def initialise(self, batch: Batch) -> None:
        """Set the actnorms that are not yet, from the moments of the whole first batch.

        Before the first step, so that it makes no difference in how many parts that is taken.
        """
        layers = (m for m in self.model.modules() if isinstance(m, ActNorm))
        if not all(layer.is_initialized for layer in layers):
            self.model(*map(self._place, batch))
        if self.config.compile and not self._compiled:
            # Only now: initialising would be a second set of graphs.
            self.model.compile_steps()
            self._compiled = True

    def step(
        self,
        batch: Batch,
        lr: float,
        messages: Callable[[], Sequence[float]] = tuple,
        guide_alone: bool = False,
    ) -> Figures:
        """One step on -(log p(w|y) + λ log p(y)) / (dim(w) ln 2): clipped, guarded, averaged.

        Args:
            batch: This rank's share.
            lr: The rate.
            messages: Asked for numbers to sum over the ranks on the way.
            guide_alone: On the density of the guide, which gets the whole rate.
        """
        optim = self.config
        for group in self.adam.param_groups:
            group["lr"] = lr if guide_alone else lr * group["share"]
        parts = batch.split(optim.accumulate)
        sums = torch.zeros(3, dtype=torch.float64, device=wide_device(self.accelerator.device))
        for number, part in enumerate(parts, 1):
            last = number == len(parts)
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.parallel):
                sums += self._backward(part, guide_alone) / len(parts)
        for parameter in self._idle(guide_alone):
            parameter.grad = None  # Adam must not count a step that it did not take
        clipped = torch.nn.utils.clip_grad_norm_(self.model.parameters(), optim.clip)
        # One look at the device a step.
        *means, norm = torch.cat([sums, wide(clipped)[None]]).tolist()
        shares = [mean / self.accelerator.num_processes for mean in means]
        loss, bits, cond_bits, *heard = sum_over_ranks(self.accelerator, [*shares, *messages()])
        taken = self.guard.accepts(loss, norm)
        if taken:
            self.adam.step()
            self.ema.update(self.model)
        self.adam.zero_grad(set_to_none=True)
        rolled_back = self.guard.wants_rollback() and self.guard.roll_back()
        return Figures(loss, bits, cond_bits, norm, taken, rolled_back, heard)

    def _idle(self, guide_alone: bool) -> list[Tensor]:
        """What does not learn: all but the guide, or a guide that is to stay."""
        if not guide_alone and self.config.guide_lr_share > 0:
            return []
        named = self.model.named_parameters()
        return [p for name, p in named if name.startswith(GUIDE) != guide_alone]

    def _backward(self, part: Batch, guide_alone: bool) -> Tensor:
        """Add the part's gradient; its mean loss, bits/dim of w and of y, (3,) float64."""
        fixed = self.config.guide_lr_share == 0
        guide = "alone" if guide_alone else "fixed" if fixed else "learns"
        terms: LossTerms = self.parallel(*map(self._place, part), guide=guide)
        dims = part.target[0].numel()
        bits = bits_per_dim(terms.log_prob.mean(), dims)
        weighted = self.config.cond_weight * terms.cond_log_prob.mean()
        loss = bits + bits_per_dim(weighted, dims)
        # A gradient of 0 for the rest, where ranks wait for every parameter's.
        if guide != "learns" and self.accelerator.num_processes > 1:
            loss = loss + sum(0.0 * p.sum() for p in self.model.parameters())
        (loss / self.config.accumulate).backward()
        cond_bits = bits_per_dim(terms.cond_log_prob.mean(), part.cond[0].numel())
        return wide(torch.stack([loss, bits, cond_bits]).detach())

    def _place(self, x: Tensor) -> Tensor:
        device = self.accelerator.device
        return x.to(device, memory_format=memory_format(device))
