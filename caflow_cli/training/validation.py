"""Bits/dim of the averaged weights, on pictures that stay the same over a run."""

from __future__ import annotations

from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from ..model import CAFlow, bits_per_dim
from .dataset import Dataset
from .processes import sum_over_processes

__all__ = ["Fit", "Validation"]

_BATCH = 50


class Fit(NamedTuple):
    """Mean bits/dim, measured alike: fixed pictures and conditions, fixed noise, no flips."""

    train: float
    val: float


class Validation:
    """At most `count` validation pictures and as many training pictures, drawn by `seed`."""

    def __init__(self, train: Dataset, val: Dataset, count: int, seed: int) -> None:
        self.val = val.held_out(_choose(len(val), count, seed))
        self.train = train.held_out(_choose(len(train), len(self.val[0]), seed))

    def measure(self, model: CAFlow, accelerator: Accelerator) -> Fit:
        """Both means; the pictures are shared out over the processes."""
        parts = (self.train, self.val)
        sums = sum_over_processes(accelerator, [_sum(model, *part, accelerator) for part in parts])
        train, val = (
            float(bits_per_dim(total / len(targets), targets[0].numel()))
            for total, (targets, _) in zip(sums, parts, strict=True)
        )
        return Fit(train, val)


def _choose(total: int, count: int, seed: int) -> Tensor:
    """`count` of `total` indices, or all, rising."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(total, generator=generator)[:count].sort().values


def _sum(model: CAFlow, targets: Tensor, conditions: Tensor, accelerator: Accelerator) -> float:
    process, processes = accelerator.process_index, accelerator.num_processes
    own = targets[process::processes].split(_BATCH), conditions[process::processes].split(_BATCH)
    return sum(float(model.log_prob(w, y).sum()) for w, y in zip(*own, strict=True) if len(w))
