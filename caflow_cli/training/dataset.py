"""The pictures of a split: targets, and conditions that follow from them or come with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..config import Config
from ..data import Store, load_pairs, load_split
from ..tasks import Task, get_task, held_out_conditions
from .config import RunConfig

__all__ = ["CACHE", "Dataset", "load_dataset"]

CACHE = "cache"  # in a run: decoded sets that are too large for memory

_Image = npt.NDArray[np.uint8]  # (C, H, W)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Targets and conditions of a split.

    Attributes:
        task: Makes the conditions, where the data holds none.
        targets: uint8 (N, 3, H, W).
        conditions: uint8 (N, cond_channels, H, W); None: `task` makes them, one by one.
        skipped: Names of damaged pictures, which were left out.
    """

    task: Task
    targets: Tensor
    conditions: Tensor | None = None
    skipped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def cond_channels(self) -> int:
        return self.task.cond_channels

    def target(self, index: int) -> _Image:
        image: _Image = self.targets[index].numpy()
        return image

    def pair(
        self, index: int, generator: torch.Generator, zoom: Callable[[_Image], _Image] | None = None
    ) -> tuple[_Image, _Image]:
        """Target and condition of one picture for a training step.

        Args:
            index: Chooses the picture.
            generator: Draws what is random in the condition.
            zoom: Is applied to the target first, and to a condition that does not follow from it.
        """
        target = self.target(index) if zoom is None else zoom(self.target(index))
        if self.conditions is not None:
            image: _Image = self.conditions[index].numpy()
            return target, image if zoom is None else zoom(image)
        image = np.ascontiguousarray(target.transpose(1, 2, 0))
        return target, self.task.training_condition(image, generator).transpose(2, 0, 1)

    def held_out(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Targets and conditions of these, always the same: for validation."""
        targets = self.targets[indices]
        if self.conditions is not None:
            return targets, self.conditions[indices]
        return targets, held_out_conditions(self.task, targets)


def load_dataset(
    config: RunConfig, split: Literal["train", "val"], *, limit: int | None = None
) -> Dataset:
    """A split of a run's data.

    Args:
        limit: Decode at most so many pictures, and keep them in memory: for estimates.
    """
    task = get_task(Config(config.flow, config.task))
    size, seed = config.task.size, config.seed
    bound = int(config.data_memory_gb * 2**30)
    store = Store(Path(config.out) / CACHE, bound) if limit is None else None
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
