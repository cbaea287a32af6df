"""Batches: order, flips, conditions and noise, all keyed by seed and position in the stream."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..flows import NOISE_LATTICE
from .crops import Crop
from .dataset import Dataset
from .zoom import Zoom

__all__ = ["DRAWN", "Batch", "Batches", "Prefetched"]

DRAWN = 4  # of so many pictures of a batch one may be drawn in a step
_ORDER, _SAMPLE, _DRAWS = 1, 2, 3  # streams of random numbers


class Batch(NamedTuple):
    """Dequantised training pairs, float32 (B, C, H, W)."""

    target: Tensor  # w, whole numbers
    cond: Tensor  # y + u'
    noise: Tensor  # of w: uniform, or standard normal
    draws: Tensor  # int64 (B,): of one in `DRAWN` the seed of its draws, of the others -1

    @property
    def points(self) -> tuple[Tensor, Tensor, Tensor]:
        """For `CAFlow.forward`."""
        return self.target, self.cond, self.noise

    def split(self, count: int) -> list[Batch]:
        """Split into `count` neighbouring parts of nearly equal size."""
        return [Batch(*part) for part in zip(*(x.tensor_split(count) for x in self), strict=True)]


class Batches:
    """An endless, seeded, random-access stream of training pairs.

    Sample p of the stream is image `permutation(seed, p // N)[p % N]`; its flip, part, condition
    and noises come from a counter-based generator (Philox) keyed by (seed, p). So a batch depends
    neither on the number of processes nor on earlier draws, and a resumed run gets the same batches
    as an uninterrupted one.

    Args:
        dataset: Holds the pictures.
        batch_size: Pairs a step, of all processes together.
        seed: The run's.
        flip: Mirror half of the pairs, target and condition together.
        normal_noise: Draw the target's noise standard normal, for variational dequantization.
        zoom: The largest share of a side that `Zoom` cuts off. 0: pictures stay whole.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        seed: int,
        flip: bool,
        normal_noise: bool = False,
        zoom: float = 0.0,
    ) -> None:
        self.dataset = dataset
        self.batch_size, self.seed, self.flip = batch_size, seed, flip
        self.normal_noise = normal_noise
        self.zoom = zoom
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def __call__(self, step: int, process: int = 0, processes: int = 1) -> Batch:
        """Make the share of one process in batch `step`."""
        positions = range(step * self.batch_size, (step + 1) * self.batch_size)[process::processes]
        channels, *side = self.dataset.shape
        w = np.empty((len(positions), channels, *side), np.uint8)
        y = np.empty((len(positions), self.dataset.cond_channels, *side), np.uint8)
        u = np.empty(w.shape, np.float32 if self.normal_noise else np.uint16)
        v = np.empty(y.shape, np.uint16)
        for row, position in enumerate(positions):
            bits = self._bits(_SAMPLE, position)
            mirrored, key = (int(word) for word in bits.random_raw(2))
            index = self._index(position)
            generator = torch.Generator().manual_seed(key % 2**32)
            view = slice(None, None, -1 if self.flip and mirrored % 2 else 1)
            target, condition = self.dataset.pair(index, generator, self._part(bits))
            w[row], y[row] = target[..., view], condition[..., view]
            if self.normal_noise:
                np.random.Generator(bits).standard_normal(dtype=np.float32, out=u[row])
            else:
                u[row] = _words(bits, u[row].shape)
            v[row] = _words(bits, v[row].shape)
        noise = torch.from_numpy(u) if self.normal_noise else _uniform(u)
        cond = torch.from_numpy(y) + _uniform(v)
        draws = torch.tensor([self._seed_of_draws(position) for position in positions])
        return Batch(torch.from_numpy(w).float(), cond, noise, draws)

    def _seed_of_draws(self, position: int) -> int:
        """-1 but for one in `DRAWN`, about equally often in each process and part."""
        if position % DRAWN != position // DRAWN % DRAWN:
            return -1
        return int(self._bits(_DRAWS, position).random_raw(1)[0]) % 2**32

    def _part(self, bits: np.random.Philox) -> Crop | Zoom | None:
        if self.dataset.crops is not None:
            return self.dataset.crops.draw(bits)
        if self.zoom == 0:
            return None
        size, left, top = (int(word) / 2**64 for word in bits.random_raw(3))
        return Zoom(self.zoom, (size, left, top))

    def _index(self, position: int) -> int:
        epoch, offset = divmod(position, len(self.dataset))
        if epoch != self._epoch:
            generator = np.random.Generator(self._bits(_ORDER, epoch))
            self._order, self._epoch = generator.permutation(len(self.dataset)), epoch
        return int(self._order[offset])

    def _bits(self, stream: int, counter: int) -> np.random.Philox:
        # The generator counts in the lowest of the counter's four words.
        return np.random.Philox(key=[self.seed, stream], counter=[0, 0, 0, counter])


class Prefetched:
    """The batches of one process. A thread makes the next batch while a step runs."""

    def __init__(self, batches: Batches, process: int, processes: int) -> None:
        self._batches, self._process, self._processes = batches, process, processes
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="caflow-batches")
        self._next: tuple[int, Future[Batch]] | None = None

    def __call__(self, step: int) -> Batch:
        known = self._next if self._next and self._next[0] == step else (step, self._submit(step))
        batch = known[1].result()
        self._next = (step + 1, self._submit(step + 1))
        return batch

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, step: int) -> Future[Batch]:
        return self._pool.submit(self._batches, step, self._process, self._processes)


def _words(bits: np.random.Philox, shape: tuple[int, ...]) -> np.ndarray:
    """Draw integers below 2^16 in that shape; a 64-bit word gives four."""
    count = int(np.prod(shape))
    words: np.ndarray = bits.random_raw(-(-count // 4)).astype("<u8", copy=False).view("<u2")
    return words[:count].reshape(shape)


def _uniform(numbers: np.ndarray) -> Tensor:
    """Draw uniform noise on the lattice of `lattice_noise`."""
    return torch.from_numpy(numbers).float().mul_(1 / NOISE_LATTICE)
