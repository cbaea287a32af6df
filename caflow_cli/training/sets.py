"""The sets of a run, of images, pairs or fields; and batches keyed by seed and position."""

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..config import Config
from ..data.examples import Examples, keep, open_files, open_split
from ..data.split import Split, choose
from ..errors import check_usage
from ..flows import NOISE_LEVELS
from ..images import DEEP_HINT, Pixels, has_deep, in_16_bits
from ..images.profile import Array
from ..layers import points_of
from ..records import Table
from ..restoration import to_batch
from ..tasks import Task, get_task, held_out_conditions
from .config import RunConfig
from .data import CENTER, Framing, bits_of, crop, draw_crop, load_masks, oriented, recolored, words

SAMPLED = 4  # one in so many images of a batch gets a loss on samples
# Streams of random numbers: the order of images, their augmentation and noise, seeds of samples.
_ORDER = 1
_SAMPLE = 2
_DRAWS = 3


@dataclass(frozen=True, eq=False)
class Dataset:
    """Targets and conditions of a split."""

    task: Task  # computes the conditions, unless the data has them
    examples: Examples  # targets, or pairs of condition and target; or fields
    size: int  # side of a training image
    crops: bool = False  # examples have any size, and training uses crops of them
    recolor: bool = False  # training changes the colors of targets

    def __len__(self) -> int:
        return len(self.examples)

    @property
    def of_points(self) -> bool:
        """Whether pairs are points of the model, which have their noise."""
        return self.task.role == "fields"

    def pair(
        self, index: int, generator: torch.Generator, framing: Framing | None = None
    ) -> tuple[Pixels, Pixels]:
        """Target and condition of one example for a training step, (H, W, C).

        The images are cropped first; `generator` draws the random parts of the condition.
        """
        *stored, target = self._images(index, framing)
        if not stored:
            if self.recolor:
                target = recolored(target, generator)
            target = self.task.training_target(np.ascontiguousarray(target), generator)
            return target, self.task.training_condition(target, generator)
        return target, self._read(stored[0])

    def points(
        self, index: int, framing: Framing, orientation: int, noise: Array
    ) -> tuple[Array, Array]:
        """Target and condition of a crop of a field, as points (`Task.training_points`)."""
        values, steps = self.examples.read(index)
        target = oriented(crop(values, self.size, *framing)[None], orientation)
        return self.task.training_points(target, steps, noise)

    def held_out(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Targets and conditions at these indices, always the same: uint8 (N, C, H, W), or points.

        From images of any size, the central crops at native scale are taken.
        """
        if self.of_points:
            shape = 1, self.size, self.size
            noises = [np.random.default_rng(index).random(shape) for index in indices.tolist()]
            pairs = [
                self.points(int(i), CENTER, 0, u) for i, u in zip(indices, noises, strict=True)
            ]
            v, y = map(torch.from_numpy, map(np.stack, zip(*pairs, strict=True)))
            return v, y
        framing = CENTER if self.crops else None
        examples = [self._images(index, framing) for index in indices.tolist()]
        targets = to_batch([images[-1] for images in examples]).contiguous()
        if len(examples[0]) == 1:
            return targets, held_out_conditions(self.task, targets)
        conditions = [self._read(images[0]) for images in examples]
        return targets, to_batch(conditions).contiguous()

    def _images(self, index: int, framing: Framing | None) -> list[Pixels]:
        images = self.examples.read(index)
        return [crop(image, self.size, *framing) for image in images] if framing else images

    def _read(self, stored: Pixels) -> Pixels:
        if not self.crops:
            return stored
        (part,) = self.task.parts(stored)
        return part.condition(np.ascontiguousarray(stored))


@contextmanager
def open_dataset(config: RunConfig, split: Literal["train", "choose"]) -> Iterator[Dataset]:
    """Open a split of a run's data, and keep it decoded if it fits into `data_memory_gb`."""
    hold_out = config.hold_out or "20+"
    task = get_task(Config(config.flow, config.task))
    if config.masks is not None:
        of_masks: Split = "train" if split == "train" else "val"
        masks = load_masks(config.masks, of_masks, config.seed, hold_out)
        task = task.with_masks(masks, config.mask_share)
    size = config.task.size
    crops = config.crop == "random"
    with open_split(
        config.data,
        split,
        None if crops else size,
        role=task.role,
        seed=config.seed,
        hold_out=hold_out,
        channels=(task.cond_channels, 3) if task.role == "pairs" else (3,),
        least=size if crops else 0,
        deep=config.depth == 16,
        unit=task.unit or "",
    ) as examples:
        if config.depth == 16:
            examples = _in_16_bits(examples)
        kept = keep(examples, config.data_memory_gb * 2**30, config.data)
        yield Dataset(task, kept, size, crops, config.recolor)


def _in_16_bits(examples: Examples) -> Examples:
    check_usage(has_deep(), "16 bits per channel need the extra deep", DEEP_HINT)

    def read(row: int) -> list[Pixels]:
        return [in_16_bits(image) for image in examples.read(row)]

    return replace(examples, read=read)


def parts_of(config: RunConfig) -> tuple[dict[str, int], bool]:
    """How many examples train a model, choose its best state, calibrate it, and test it; and
    if val/ is halved. If it is too small, the same ones choose and calibrate (`data.split.choose`).
    """
    role = get_task(Config(config.flow, config.task)).role
    held: Table = {"paired": role == "pairs", "grouped": role == "fields"}
    held["hold_out"] = config.hold_out or "20+"
    with open_files(config.data, role) as files:
        names = ("train", "choose", "calibrate", "test")
        found = {name: choose(files, name, config.seed, **held)[1] for name in names}
    counts = {name: len(examples) for name, examples in found.items()}
    return counts, found["choose"] != found["calibrate"]


class Batch(NamedTuple):
    """Dequantized training pairs, float32 (B, C, H, W)."""

    target: Tensor  # w on the 8-bit scale: of 8 bits, integer values; or of fields, v
    cond: Tensor  # y + u', or y of fields
    noise: Tensor  # dequantization noise of w: uniform in its bin, or standard normal; 0 for v
    seeds: Tensor  # int64 (B,): for one in `SAMPLED` the seed of its samples, for the others -1

    def split(self, count: int) -> list["Batch"]:
        parts = [x.tensor_split(count) for x in self]
        return [Batch(*part) for part in zip(*parts, strict=True)]


class Visit(NamedTuple):
    """A sample of a stream: an example, and how it is shown."""

    number: int  # of the example, in the data set
    orientation: int
    key: int  # seeds the condition
    framing: Framing | None  # of the crop
    bits: np.random.Philox  # of the noise


@dataclass(eq=False)
class Batches:
    """An endless, seeded, random-access stream of training pairs, for one process of a run.

    Sample p of the stream is image p % N in the order of epoch p // N; its flip, crop, condition
    and noise come from a counter-based generator (Philox) keyed by (seed, p). So a batch depends
    neither on the number of processes nor on earlier batches, and a resumed run gets the same
    batches as an uninterrupted one. A thread prepares the next batch while a step runs.
    """

    dataset: Dataset
    batch_size: int  # pairs per step, over all processes
    seed: int  # of the run
    orientations: int  # 1; 2, to mirror half of the pairs; or 8, to transpose them, too
    normal_noise: bool = False  # from N(0, I), for variational dequantization
    width: float = 1.0  # of the bins of stored values
    process: int = 0  # the index of this process,
    processes: int = 1  # and how many there are

    def __post_init__(self) -> None:
        self._order = lru_cache(2)(self._permutation)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="caflow-batches")
        self._next: tuple[int, Future[Batch]] | None = None
        # Decoding waits for files; examples in memory are read faster by one thread.
        readers = 1 if self.dataset.examples.in_memory else min(8, os.cpu_count() or 1)
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="caflow-examples")

    def __call__(self, step: int) -> Batch:
        if self._next is None or self._next[0] != step:
            self._next = step, self._thread.submit(self._make, step)
        batch = self._next[1].result()
        self._next = step + 1, self._thread.submit(self._make, step + 1)
        return batch

    def close(self) -> None:
        for pool in (self._thread, self._readers):
            pool.shutdown(wait=True, cancel_futures=True)

    def _make(self, step: int) -> Batch:
        first = step * self.batch_size
        positions = range(first + self.process, first + self.batch_size, self.processes)
        rows = self._readers.map(self._sample, positions)
        parts = [torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True)]
        seeds = torch.tensor([self._seed_of_samples(position) for position in positions])
        if self.dataset.of_points:
            v, y = parts
            return Batch(v, y, torch.zeros_like(v), seeds)
        w, y, u, u_of_y = parts
        noise = u if self.normal_noise else self.width * self._uniform(u)
        cond = points_of(y.float(), self._uniform(u_of_y), self.width, has_mask=y.shape[1] == 4)
        return Batch(self.width * w.float(), cond, noise, seeds)

    def _uniform(self, numbers: Tensor) -> Tensor:
        """Convert integers below 2^16 to uniform noise on the lattice of `uniform_noise`, which is
        as coarse in bins of 16 bits as keeps points exact in float32."""
        step = 1 / self.width
        return (numbers.float() / step).floor().mul_(step / NOISE_LEVELS)

    def _permutation(self, epoch: int) -> np.ndarray:
        bits = bits_of(self.seed, _ORDER, epoch)
        return np.random.Generator(bits).permutation(len(self.dataset))

    def visit(self, position: int) -> Visit:
        """What is drawn for a sample of the stream."""
        epoch, number = divmod(position, len(self.dataset))
        bits = bits_of(self.seed, _SAMPLE, position)
        word, key = (int(word) for word in bits.random_raw(2))
        framing = draw_crop(bits) if self.dataset.crops else None
        return Visit(int(self._order(epoch)[number]), word % self.orientations, key, framing, bits)

    def _sample(self, position: int) -> tuple[np.ndarray, ...]:
        index, orientation, key, framing, bits = self.visit(position)
        if self.dataset.of_points:
            assert framing is not None, "fields are shown in crops"
            noise = words(bits, (1, self.dataset.size, self.dataset.size)) / NOISE_LEVELS
            return self.dataset.points(index, (0.0, *framing[1:]), orientation, noise)
        generator = torch.Generator().manual_seed(key % 2**32)
        images = self.dataset.pair(index, generator, framing)
        w, y = (oriented(image.transpose(2, 0, 1), orientation) for image in images)
        if self.normal_noise:
            u = np.random.Generator(bits).standard_normal(w.shape, np.float32)
        else:
            u = words(bits, w.shape)
        return w, y, u, words(bits, y.shape)

    def _seed_of_samples(self, position: int) -> int:
        """The seed for one in `SAMPLED`, spread evenly over processes and parts; else -1."""
        if position % SAMPLED != position // SAMPLED % SAMPLED:
            return -1
        return int(bits_of(self.seed, _DRAWS, position).random_raw(1)[0]) % 2**32
