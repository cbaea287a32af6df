"""Training data: examples, crops, and batches keyed by seed and position in the stream."""

import math
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..config import HOLE, Config
from ..data.examples import Examples, keep, open_split
from ..data.split import HoldOut, Split, mask_errors
from ..errors import check_usage, ensure
from ..flows import NOISE_LEVELS
from ..images import DEEP_HINT, Pixels, gray, has_deep, in_16_bits, resize, white
from ..layers import points_of
from ..records import Table
from ..restoration import to_batch
from ..tasks import Task, get_task, held_out_conditions
from .config import RunConfig

SAMPLED = 4  # one in so many images of a batch gets a loss on samples
# Streams of random numbers: the order of images, their augmentation and noise, seeds of samples.
_ORDER = 1
_SAMPLE = 2
_DRAWS = 3
_NATIVE = 0.67  # share of crops at native scale
_SHRINK = 4.0  # how much others shrink at most
Place = tuple[float, float, float]  # of a `crop`: share, left, top
CENTER: Place = (0.0, 0.5 - 1e-9, 0.5 - 1e-9)  # slightly less than half, to round down
_REACH = 3  # support of LANCZOS, in pixels of the result


@dataclass(frozen=True, eq=False)
class Dataset:
    """Targets and conditions of a split."""

    task: Task  # computes the conditions, unless the data has them
    examples: Examples  # targets, or pairs of condition and target
    size: int  # side of a training image
    crops: bool = False  # examples have any size, and training uses crops of them
    recolor: bool = False  # training changes the colors of targets

    def __len__(self) -> int:
        return len(self.examples)

    def pair(
        self, index: int, generator: torch.Generator, place: Place | None = None
    ) -> tuple[Pixels, Pixels]:
        """Target and condition of one example for a training step, (H, W, C).

        The images are cropped at `place` first; `generator` draws the random parts of the
        condition.
        """
        *stored, target = self._images(index, place)
        if not stored:
            if self.recolor:
                target = recolored(target, generator)
            target = self.task.training_target(np.ascontiguousarray(target), generator)
            return target, self.task.training_condition(target, generator)
        return target, self._read(stored[0])

    def held_out(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Targets and conditions at these indices, always the same: uint8 (N, C, H, W).

        From images of any size, the central crops at native scale are taken.
        """
        place = CENTER if self.crops else None
        examples = [self._images(index, place) for index in indices.tolist()]
        targets = to_batch([images[-1] for images in examples]).contiguous()
        if len(examples[0]) == 1:
            return targets, held_out_conditions(self.task, targets)
        conditions = [self._read(images[0]) for images in examples]
        return targets, to_batch(conditions).contiguous()

    def _images(self, index: int, place: Place | None) -> list[Pixels]:
        images = self.examples.read(index)
        return [crop(image, self.size, *place) for image in images] if place else images

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
    alone = task.derives_condition
    with open_split(
        config.data,
        split,
        None if crops else size,
        role="images" if alone else "pairs",
        seed=config.seed,
        hold_out=hold_out,
        channels=(3,) if alone else (task.cond_channels, 3),
        least=size if crops else 0,
        deep=config.depth == 16,
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


class _Masks(list[Any]):
    """Masks packed into bits, each with its own shape (H, W); item i is bool, true = white."""

    def __getitem__(self, index: Any) -> Any:
        bits, shape = super().__getitem__(index)
        return np.unpackbits(bits, count=math.prod(shape)).view(np.bool_).reshape(shape)


def load_masks(data: str, split: Split, seed: int = 0, hold_out: HoldOut = "2%") -> _Masks:
    """Load the masks of a split, white (128 and above) in the holes. Black masks are left out.

    Raises:
        CaflowError: As for `open_split`; a mask is damaged, or all are black.
    """
    found = _Masks()
    held: Table = {"seed": seed, "hold_out": hold_out}
    with mask_errors(), open_split(data, split, role="masks", **held) as masks:
        for row in range(len(masks)):
            white = masks.read(row)[0][..., 0] >= HOLE
            if white.any():
                found.append((np.packbits(white), white.shape))
    ensure(
        bool(found),
        f"masks: there are no white pixels in {data!r}",
        "paint holes white, and all else black",
    )
    return found


def recolored(image: Pixels, generator: torch.Generator) -> Pixels:
    """Change the colors of an image at random, with its edges and textures unchanged.

    Channels are permuted with probability 1/2. Independently, with probability 1/2, chroma, the
    difference of each channel from luma, is scaled by exp(u), u uniform in [-0.4, 0.9], and then,
    with probability 1/2, values are raised to the power exp(v), v uniform in [-0.3, 0.3].

    Shapes: (H, W, 3), uint8 or uint16 -> the same.
    """
    permutes, scales, chroma, bends, power = torch.rand(5, generator=generator).tolist()
    if permutes < 0.5:
        image = image[..., torch.randperm(3, generator=generator).tolist()]
    if scales < 0.5:
        peak = white(image)
        luma = gray(image)[..., None].astype(np.float32)
        values = (luma + (image - luma) * math.exp(-0.4 + 1.3 * chroma)).clip(0, peak)
        if bends < 0.5:
            values = peak * (values / peak) ** math.exp(-0.3 + 0.6 * power)
        image = np.rint(values).astype(image.dtype)
    return image


def crop(image: Pixels, size: int, share: float, left: float, top: float) -> Pixels:
    """Crop a square from an image of any size, after shrinking it by a factor (Pillow LANCZOS).

    Only the region that the crop needs is resized. The result equals a crop of the whole shrunk
    image, at subpixel positions, too.

    Args:
        image: (H, W, C).
        size: Side of the result.
        share: In [0, 1]. The image is shrunk by the factor `most ** share`, where most is 4, or
            less if a smaller image requires it.
        left, top: The crop's position, as shares of the free range, in [0, 1).
    """
    height, width = image.shape[:2]
    shrink = max(1.0, min(_SHRINK, min(height, width) / size)) ** share
    if shrink == 1:
        x = int(left * (width - size + 1))
        y = int(top * (height - size + 1))
        return image[y : y + size, x : x + size]
    span = size * shrink
    x = left * (width - span)
    y = top * (height - span)
    margin = int(_REACH * shrink) + 2
    first_x = max(0, int(x) - margin)
    first_y = max(0, int(y) - margin)
    last_x = int(x + span) + margin
    last_y = int(y + span) + margin
    part = np.ascontiguousarray(image[first_y:last_y, first_x:last_x])
    x -= first_x
    y -= first_y
    box = (x, y, x + span, y + span)
    return resize(part, size, size, Image.Resampling.LANCZOS, box)


def draw_crop(bits: np.random.Philox) -> Place:
    """Draw share, left and top of a `crop`, from four words of the generator.

    67 % of the crops are at native scale. The others are from the image shrunk by a factor s, with
    log s uniform between 0 and its maximum.
    """
    kind, scale, left, top = (int(word) / 2**64 for word in bits.random_raw(4))
    return 0.0 if kind < _NATIVE else scale, left, top


class Batch(NamedTuple):
    """Dequantized training pairs, float32 (B, C, H, W)."""

    target: Tensor  # w on the 8-bit scale: of 8 bits, integer values
    cond: Tensor  # y + u'
    noise: Tensor  # dequantization noise of w: uniform in its bin, or standard normal
    seeds: Tensor  # int64 (B,): for one in `SAMPLED` the seed of its samples, for the others -1

    def split(self, count: int) -> list["Batch"]:
        parts = [x.tensor_split(count) for x in self]
        return [Batch(*part) for part in zip(*parts, strict=True)]


class Visit(NamedTuple):
    """A sample of a stream: an example, and how it is shown."""

    number: int  # of the example, in the data set
    orientation: int
    key: int  # seeds the condition
    place: Place | None  # of the crop
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
        positions = self._positions(step)
        w, y, u, v = self._stacked(positions)
        noise = u if self.normal_noise else self.width * self._uniform(u)
        cond = points_of(y.float(), self._uniform(v), self.width, has_mask=y.shape[1] == 4)
        seeds = torch.tensor([self._seed_of_samples(position) for position in positions])
        return Batch(self.width * w.float(), cond, noise, seeds)

    def _positions(self, step: int) -> range:
        """Of this process's samples of a batch."""
        first = step * self.batch_size
        return range(first + self.process, first + self.batch_size, self.processes)

    def _stacked(self, positions: range) -> list[Tensor]:
        rows = self._readers.map(self._sample, positions)
        return [torch.from_numpy(np.stack(part)) for part in zip(*rows, strict=True)]

    def _uniform(self, numbers: Tensor) -> Tensor:
        """Convert integers below 2^16 to uniform noise on the lattice of `uniform_noise`, which is
        as coarse in bins of 16 bits as keeps points exact in float32."""
        step = 1 / self.width
        return (numbers.float() / step).floor().mul_(step / NOISE_LEVELS)

    def _permutation(self, epoch: int) -> np.ndarray:
        bits = _bits(self.seed, _ORDER, epoch)
        return np.random.Generator(bits).permutation(len(self.dataset))

    def visit(self, position: int) -> Visit:
        """What is drawn for a sample of the stream."""
        epoch, number = divmod(position, len(self.dataset))
        bits = _bits(self.seed, _SAMPLE, position)
        word, key = (int(word) for word in bits.random_raw(2))
        place = draw_crop(bits) if self.dataset.crops else None
        return Visit(int(self._order(epoch)[number]), word % self.orientations, key, place, bits)

    def _sample(self, position: int) -> tuple[np.ndarray, ...]:
        index, orientation, key, place, bits = self.visit(position)
        generator = torch.Generator().manual_seed(key % 2**32)
        images = self.dataset.pair(index, generator, place)
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
        return int(_bits(self.seed, _DRAWS, position).random_raw(1)[0]) % 2**32


def _bits(seed: int, stream: int, counter: int) -> np.random.Philox:
    # The generator increments the lowest of the counter's four words.
    return np.random.Philox(key=[seed, stream], counter=[0, 0, 0, counter])


def oriented(image: np.ndarray, orientation: int) -> np.ndarray:
    """An image (C, H, W) in one of eight orientations: bit 0 of the number mirrors it, bit 1 turns
    it upside down, and bit 2 transposes the result."""
    if orientation & 1:
        image = image[:, :, ::-1]
    if orientation & 2:
        image = image[:, ::-1]
    return image.transpose(0, 2, 1) if orientation & 4 else image


def words(bits: np.random.Philox, shape: tuple[int, ...]) -> np.ndarray:
    """Draw integers below 2^16 in the given shape, four from each 64-bit word."""
    count = math.prod(shape)
    words = bits.random_raw(-(-count // 4)).astype("<u8", copy=False)
    return words.view("<u2")[:count].reshape(shape)
