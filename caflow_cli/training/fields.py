"""Training on measured fields: crops of files in a unit become points on the model's scale."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ..config import Config
from ..data.examples import keep, open_files
from ..data.fields import open_fields
from ..data.split import choose
from ..fields.project import means_of, repeated
from ..fields.scale import Linear, scale_of
from ..flows import NOISE_LEVELS
from ..images.profile import Array
from ..images.values import Unit
from ..records import Table
from ..tasks import get_task
from ..tasks.fields import filled
from .config import RunConfig
from .data import CENTER, Batch, Batches, Dataset, Place, crop, open_dataset, oriented, words


def open_set(
    config: RunConfig, split: Literal["train", "choose"]
) -> AbstractContextManager[Dataset]:
    """Open a split of a run's data: of fields, if the model's values have a unit, else images."""
    return open_dataset(config, split) if config.task.values is None else _open(config, split)


def parts_of(config: RunConfig) -> tuple[dict[str, int], bool]:
    """How many examples train a model, choose its best state, calibrate it, and test it; and
    if val/ is halved. If it is too small, the same ones choose and calibrate (`data.split.choose`).
    """
    fields = config.task.values is not None
    paired = not get_task(Config(config.flow, config.task)).derives_condition and not fields
    held: Table = {"paired": paired, "grouped": fields, "hold_out": config.hold_out or "20+"}
    with open_files(config.data, "fields" if fields else "pairs" if paired else "images") as files:
        names = ("train", "choose", "calibrate", "test")
        found = {name: choose(files, name, config.seed, **held)[1] for name in names}
    counts = {name: len(examples) for name, examples in found.items()}
    return counts, found["choose"] != found["calibrate"]


@contextmanager
def _open(config: RunConfig, split: Literal["train", "choose"]) -> Iterator[Dataset]:
    task = config.task
    assert task.values is not None
    with open_fields(
        config.data,
        split,
        unit=task.values.unit,
        least=task.size,
        seed=config.seed,
        hold_out=config.hold_out or "20+",
    ) as examples:
        kept = keep(examples, config.data_memory_gb * 2**30, config.data)
        kind = get_task(Config(config.flow, task))
        yield FieldSet(kind, kept, task.size, crops=True, scale=scale_of(task.values))


@dataclass(frozen=True, eq=False)
class FieldSet(Dataset):
    """Fields of a split, in their unit. Training uses crops at native scale."""

    scale: Linear = field(kw_only=True)

    def pair_of(
        self, index: int, place: Place, orientation: int, noise: Array
    ) -> tuple[Array, Array]:
        """Target and condition of a crop of a field, as points of the model.

        Values with steps, and dry cells, get the noise; the condition has the means of the stored
        values. Where these are missing, the target is dry, and the condition filled.

        Args:
            index, place: Of the field and the crop.
            orientation: In which it is shown (`oriented`).
            noise: Uniform in [0, 1), (1, size, size).

        Returns:
            v, float32 (1, size, size), and y, as `FieldAnchor` takes it, (2, size, size).
        """
        stored, (step, in_db) = self.examples.read(index)
        s = self.task.factor
        _, left, top = place
        x = oriented(crop(stored, self.size, 0.0, left, top)[None], orientation)
        means = self.scale.levels(means_of(x, s), s * s)
        left_out = repeated(np.isnan(means), s)
        level = repeated(filled(means[0], self.scale.has_dry)[None], s)
        unit = Unit(step=float(step), step_in="db" if in_db else "linear")
        v, _ = replace(self.scale, unit=unit).points(x, noise)
        v = np.where(np.isneginf(level) | left_out, noise - 1, v)
        y = np.concatenate([level, left_out])
        return v.astype(np.float32), y.astype(np.float32)

    def held_out(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Targets and conditions of central crops, always the same: float32 (N, C, size, size)."""
        shape = 1, self.size, self.size
        shown = [
            self.pair_of(index, CENTER, 0, np.random.default_rng(index).random(shape))
            for index in indices.tolist()
        ]
        v, y = map(torch.from_numpy, map(np.stack, zip(*shown, strict=True)))
        return v, y


class FieldBatches(Batches):
    """A stream of training pairs of fields, whose targets have their noise."""

    def _make(self, step: int) -> Batch:
        v, y = self._stacked(self._positions(step))
        return Batch(v, y, torch.zeros_like(v), torch.full((len(v),), -1))

    def _sample(self, position: int) -> tuple[Array, ...]:
        assert isinstance(self.dataset, FieldSet)
        index, orientation, _, place, bits = self.visit(position)
        assert place is not None
        noise = words(bits, (1, self.dataset.size, self.dataset.size)) / NOISE_LEVELS
        return self.dataset.pair_of(index, place, orientation, noise)
