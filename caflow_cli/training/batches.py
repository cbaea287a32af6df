"""Batches: order, flips and noise, all keyed by (seed, step, global sample index)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..flows.dequantize import lattice_noise

__all__ = ["Batches"]


class Batches:
    """An endless, seeded, random-access stream of dequantised training pairs.

    Sample p of the stream is image `permutation(seed, p // N)[p % N]`; its flip and both noises
    come from a generator keyed by (seed, p). So a batch depends on neither the ranks nor on what
    was drawn before: a resumed run sees what the straight one saw.

    Args:
        targets, conditions: uint8 (N, C, H, W), aligned.
        normal_noise: Draw the target's noise standard normal, for variational dequantization.
        batch_size: Of all ranks together.
        seed: Of the run.
        flip: Mirror half of the pairs.
    """

    def __init__(
        self,
        targets: Tensor,
        conditions: Tensor,
        batch_size: int,
        seed: int,
        flip: bool,
        normal_noise: bool = False,
    ) -> None:
        self.targets, self.conditions = targets, conditions
        self.batch_size, self.seed, self.flip = batch_size, seed, flip
        self.normal_noise = normal_noise
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def __call__(self, step: int, rank: int = 0, ranks: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        """The rank's share of batch `step`: (w, y + u', noise of w), float32 (B, C, H, W)."""
        positions = range(step * self.batch_size, (step + 1) * self.batch_size)[rank::ranks]
        w, y, noise = zip(*(self._sample(p) for p in positions), strict=True)
        return torch.stack(w), torch.stack(y), torch.stack(noise)

    def _sample(self, position: int) -> tuple[Tensor, Tensor, Tensor]:
        epoch, offset = divmod(position, len(self.targets))
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(_key(self.seed, epoch, 1))
            self._order = torch.randperm(len(self.targets), generator=generator)
            self._epoch = epoch
        index = int(self._order[offset])
        generator = torch.Generator().manual_seed(_key(self.seed, position, 2))
        w, y = self.targets[index], self.conditions[index]
        if self.flip and bool(torch.randint(2, (), generator=generator)):
            w, y = w.flip(-1), y.flip(-1)
        shape = tuple(w.shape)
        noise = (
            torch.randn(shape, generator=generator)
            if self.normal_noise
            else lattice_noise(shape, generator)
        )
        return w.float(), y + lattice_noise(tuple(y.shape), generator), noise


def _key(seed: int, index: int, stream: int) -> int:
    """Well-mixed 32 bits (the generator uses no more) of three integers."""
    x = (seed * 0x9E3779B97F4A7C15 + index * 0xBF58476D1CE4E5B9 + stream) & (2**64 - 1)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = ((x ^ (x >> shift)) * factor) & (2**64 - 1)
    return (x ^ (x >> 31)) & (2**32 - 1)
