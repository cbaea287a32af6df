"""The pictures of a split: targets, with conditions that are computed or stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..config import Config
from ..data import (
    Address,
    Photographs,
    Store,
    load_masks,
    load_pairs,
    load_photograph_pairs,
    load_photographs,
    load_split,
)
from ..errors import EXIT_USAGE, CaflowError
from ..tasks import Inpaint, MaskHoles, Task, get_task, held_out_conditions
from .config import RunConfig
from .crops import Crops
from .streamed import StreamedPhotographs, StreamedPictures, decoded

__all__ = ["CACHE", "Dataset", "load_dataset"]

CACHE = "cache"  # in a run: decoded sets that are too large for memory

_Image = npt.NDArray[np.uint8]  # (C, H, W)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Targets and conditions of a split.

    Attributes:
        task: Makes the conditions if the data holds none.
        targets: uint8 (N, 3, H, W); or photographs of any size, of which `crops` are learned.
        conditions: uint8 (N, cond_channels, H, W); or photographs of the targets' sizes. None:
            `task` makes them, one by one.
        skipped: Names of damaged pictures, which are left out.
        crops: With photographs, which parts of them a step learns from.
        renew: Of a stream: puts the next example in the place of one that a step has used.
    """

    task: Task
    targets: Tensor | Photographs | StreamedPhotographs
    conditions: Tensor | Photographs | None = None
    skipped: list[str] = field(default_factory=list)
    crops: Crops | None = None
    renew: Callable[[int], None] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def cond_channels(self) -> int:
        return self.task.cond_channels

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of a training target."""
        if self.crops is not None:
            return 3, self.crops.size, self.crops.size
        assert isinstance(self.targets, Tensor), "photographs come with crops"
        channels, height, width = self.targets.shape[1:]
        return channels, height, width

    @property
    def bytes_each(self) -> float:
        """Bytes of memory that an example takes, on average."""
        if isinstance(self.targets, Photographs):
            kinds = 1 if self.conditions is None else 2
            return kinds * self.targets.pixels.nbytes / len(self)
        if isinstance(self.targets, StreamedPhotographs):
            return self.targets.nbytes / len(self)
        kept = (self.targets, self.conditions)
        return sum(t.nbytes for t in kept if isinstance(t, Tensor)) / len(self)

    def target(self, index: int) -> _Image:
        image: _Image = self.targets[index].numpy()
        return image

    def pair(
        self, index: int, generator: torch.Generator, part: Callable[[_Image], _Image] | None = None
    ) -> tuple[_Image, _Image]:
        """Target and condition of one picture for a training step.

        Args:
            index: Chooses the picture.
            generator: Draws the random parts of the condition.
            part: Applied first to the target, and to a condition that is stored.
        """
        target = self.target(index) if part is None else part(self.target(index))
        condition: _Image | None = None
        if self.conditions is not None:
            condition = self.conditions[index].numpy()
            condition = condition if part is None else part(condition)
            if not isinstance(self.conditions, Tensor):
                condition = self._read(condition)
        if self.renew is not None:  # in place, so what is used is a copy
            target, condition = target.copy(), None if condition is None else condition.copy()
            self.renew(index)
        if condition is not None:
            return target, condition
        image = np.ascontiguousarray(target.transpose(1, 2, 0))
        return target, self.task.training_condition(image, generator).transpose(2, 0, 1)

    def held_out(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Targets and conditions at these indices, always the same, for validation.

        Of photographs the central pixels at native scale.
        """
        if not isinstance(self.targets, Tensor):
            targets = self.targets.centres(indices, self.shape[1])
        else:
            targets = self.targets[indices]
        if isinstance(self.conditions, Tensor):
            return targets, self.conditions[indices]
        if self.conditions is not None:
            parts = self.conditions.centres(indices, self.shape[1]).numpy()
            return targets, torch.from_numpy(np.stack([self._read(part) for part in parts]))
        return targets, held_out_conditions(self.task, targets)

    def _read(self, part: _Image) -> _Image:
        """The condition of a part of a stored picture: (3, H, W) -> (cond_channels, H, W)."""
        condition = self.task.condition(np.ascontiguousarray(part.transpose(1, 2, 0)))
        return condition.transpose(2, 0, 1)


def load_dataset(
    config: RunConfig,
    split: Literal["train", "val"],
    *,
    limit: int | None = None,
    start: int = 0,
    share: tuple[int, int] = (0, 1),
) -> Dataset:
    """Load a split of a run's data.

    Args:
        limit: Decode at most this many pictures and keep them in memory, for estimates.
        start: Of a stream: the step from which the run goes on. It chooses the order of its files.
        share: Of a stream: the number of this process, and their count. Each reads its own part.
    """
    task = get_task(Config(config.flow, config.task))
    size, seed = config.task.size, config.seed
    bound = int(config.data_memory_gb * 2**30)
    store = Store(Path(config.out) / CACHE, bound) if limit is None else None
    if config.masks is not None and isinstance(task, Inpaint):
        masks = load_masks(config.masks, split, seed=seed)
        task = replace(task, source=MaskHoles(masks, config.mask_share, task.holes))
    stream = Address.of(config.data).stream
    if stream and split == "train":
        return _streamed(config, task, start, share)
    if stream:
        limit = config.validation_images
    if config.crop == "random":
        crops = Crops(size, config.crop_native, config.crop_shrink)
        if not task.derives_condition:
            conditions, photographs = load_photograph_pairs(
                config.data, split, size, seed=seed, limit=limit, store=store
            )
            return Dataset(task, photographs, conditions, skipped=photographs.skipped, crops=crops)
        photographs = load_photographs(
            config.data, split, size, seed=seed, limit=limit, store=store
        )
        return Dataset(task, photographs, skipped=photographs.skipped, crops=crops)
    if task.derives_condition:
        images = load_split(config.data, split, size, seed=seed, limit=limit, store=store)
        return Dataset(task, images.images, skipped=images.skipped)
    pairs = load_pairs(
        config.data,
        split,
        size,
        cond_channels=task.cond_channels,
        seed=seed,
        limit=limit,
        store=store,
    )
    return Dataset(task, pairs.targets, pairs.conditions, pairs.skipped)


def _streamed(config: RunConfig, task: Task, start: int, share: tuple[int, int]) -> Dataset:
    """The training pictures of a stream, as many as the config keeps."""
    size, count = config.task.size, config.stream_buffer
    paired = not task.derives_condition
    if paired and config.crop == "random":
        raise CaflowError(
            f"parts of pairs are learned, and {config.data!r} is a stream",
            "keep the set on this machine, or --crop whole",
            EXIT_USAGE,
        )
    examples = decoded(
        config.data, paired, (config.seed + start) % 2**32, config.validation_images, share
    )
    if config.crop == "random":
        photographs = StreamedPhotographs(examples, count, size)
        crops = Crops(size, config.crop_native, config.crop_shrink)
        return Dataset(task, photographs, crops=crops, renew=photographs.renew)
    channels = (task.cond_channels, 3) if paired else (3,)
    pictures = StreamedPictures(examples, count, size, channels)
    *conditions, targets = pictures.tensors
    return Dataset(task, targets, conditions[0] if conditions else None, renew=pictures.renew)
