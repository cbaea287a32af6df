"""Validation: bits/dim of the averaged weights, on pictures that stay the same in a run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from ..model import CAFlow, bits_per_dim
from .dataset import Dataset
from .objective import DrawnLosses
from .phases import Phase
from .processes import sum_over_processes

__all__ = ["Fit", "Validation"]

_BATCH = 50


class Fit(NamedTuple):
    """Mean bits/dim, all with fixed pictures, conditions and noise, and without flips."""

    train: float
    val: float
    picture: float | None = None  # the loss of draws on validation, where they teach
    loss: float = math.nan  # the bits/dim of validation, and that loss times its weight


class Validation:
    """At most `count` validation pictures and as many training pictures, drawn by `seed`."""

    def __init__(self, train: Dataset, val: Dataset, count: int, seed: int) -> None:
        self.val = val.held_out(_choose(len(val), count, seed))
        self.train = train.held_out(_choose(len(train), len(self.val[0]), seed))

    def measure(self, model: CAFlow, accelerator: Accelerator, phase: Phase) -> Fit:
        """Compute the means. The pictures are divided among the processes."""
        parts = (self.train, self.val)
        own = [_sum(model, *part, accelerator) for part in parts]
        if phase.draws is not None:
            own.append(_sum_of_draws(model, *self.val, accelerator, phase.draws))
        sums = sum_over_processes(accelerator, own)
        train, val = (
            float(bits_per_dim(total / len(targets), targets[0].numel()))
            for total, (targets, _) in zip(sums, parts, strict=False)
        )
        if phase.draws is None:
            return Fit(train, val, None, val)
        picture = sums[2] / len(self.val[0])
        return Fit(train, val, picture, val + phase.weight * picture)


def _choose(total: int, count: int, seed: int) -> Tensor:
    """Choose `count` of `total` indices, or all, in rising order."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(total, generator=generator)[:count].sort().values


def _sum(model: CAFlow, targets: Tensor, conditions: Tensor, accelerator: Accelerator) -> float:
    own = _batches(accelerator, targets, conditions)
    return sum(float(model.log_prob(w, y).sum()) for w, y in own)


@torch.no_grad()
def _sum_of_draws(
    model: CAFlow,
    targets: Tensor,
    conditions: Tensor,
    accelerator: Accelerator,
    losses: DrawnLosses,
) -> float:
    """A picture's seed is its place among them, so its draws are always the same."""
    device, found = accelerator.device, 0.0
    for w, y, seeds in _batches(accelerator, targets, conditions, torch.arange(len(targets))):
        target, cond = w.to(device).float(), y.to(device) + 0.5
        found += float(losses(model, target, cond, seeds).sum())
    return found


def _batches(accelerator: Accelerator, *of_pictures: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """This process's."""
    process, processes = accelerator.process_index, accelerator.num_processes
    own = [x[process::processes].split(_BATCH) for x in of_pictures]
    return (batch for batch in zip(*own, strict=True) if len(batch[0]))
