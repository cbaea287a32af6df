"""Fixed crops of a training set, with the images that a slow guide predicts for them."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from ..model import CAFlow
from .data import Batches, Dataset, crop_around


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
    batches = Batches(dataset, 1, seed, orientations=1)
    for position in range(count):
        index, _, generator, where, _ = batches.visit(position)
        images = dataset.examples.read(index)
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
