"""Fixed crops of a training set, with the images that a slow guide predicts for them."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..model import CAFlow
from .data import Dataset, crop_around, draw, permutation, sample_bits


@dataclass(frozen=True, eq=False)
class Pool(Dataset):
    """Crops whose example `i` holds target, condition, and the guide's image as float16."""

    def pair(
        self, index: int, generator: torch.Generator, where: tuple[float, ...] | None = None
    ) -> tuple[np.ndarray, ...]:
        return tuple(self.examples.read(index))


def make_pool(dataset: Dataset, model: CAFlow, count: int, seed: int) -> Pool:
    """Draw the first `count` samples of a stream (`Batches`), without flips.

    The guide reads each crop with its surroundings, as far as it reads and as the image has them.
    """
    cell = model.config.flow.multiple
    margin = model.config.flow.guide_margin
    crops = []
    order = permutation(seed, 0, len(dataset))
    for position in range(count):
        epoch, number = divmod(position, len(dataset))
        if number == 0:
            order = permutation(seed, epoch, len(dataset))
        images = dataset.examples.read(int(order[number]))
        _, generator, where = draw(sample_bits(seed, position), dataset.crops)
        inner = (slice(None), slice(None))
        if where is not None:
            parts = [crop_around(image, dataset.size, *where, margin, cell) for image in images]
            images = [part for part, _ in parts]
            inner = parts[0][1]
        target, condition = dataset.of_images(images, generator)
        batch = torch.from_numpy(np.ascontiguousarray(condition)).permute(2, 0, 1)[None]
        expected = model.expect(batch)[0].permute(1, 2, 0).half().cpu().numpy()
        crops.append([image[inner].copy() for image in (target, condition, expected)])
    examples = replace(
        dataset.examples,
        names=[str(k) for k in range(count)],
        read=crops.__getitem__,
        in_memory=True,
    )
    return Pool(dataset.task, examples, dataset.size)
