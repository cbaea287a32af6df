"""Fixed crops of a training set, with the images that a slow guide predicts for them."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image

from ..config import FlowConfig
from ..images import Pixels, resize
from ..model import CAFlow
from ..restoration import to_batch
from .data import Batches, Dataset, Place, crop_scale


@dataclass(frozen=True, eq=False)
class Pool(Dataset):
    """Crops whose example `i` holds target, condition, and the guide's image as float16."""

    def pair(
        self, index: int, generator: torch.Generator, place: Place | None = None
    ) -> tuple[np.ndarray, ...]:
        return tuple(self.examples.read(index))


def make_pool(dataset: Dataset, model: CAFlow, count: int, seed: int) -> Pool:
    """Draw `count` crops as a stream (`Batches`) does, without flips.

    The guide reads each crop with its surroundings, as far as it reads and as the image has them.
    """
    crops = []
    batches = Batches(dataset, 1, seed, orientations=1)
    size = dataset.size
    for position in range(count):
        index, _, generator, place, _ = batches.visit(position)
        share, left, top = place or (0.0, 0.0, 0.0)
        images = dataset.examples.read(index)
        images = [_shrunk(image, crop_scale(image, size, share)) for image in images]
        height, width = images[0].shape[:2]
        rows, inner_rows = _around(top, height, size, model.config.flow)
        columns, inner_columns = _around(left, width, size, model.config.flow)
        images = [image[rows, columns] for image in images]
        target, condition = dataset.of_images(images, generator)
        prediction = model.expect(to_batch([condition]))[0]
        expected = prediction.permute(1, 2, 0).half().cpu().numpy()
        crop = []
        for image in (target, condition, expected):
            crop.append(image[inner_rows, inner_columns].copy())
        crops.append(crop)
    examples = replace(
        dataset.examples,
        names=[str(k) for k in range(count)],
        read=crops.__getitem__,
        in_memory=True,
    )
    return Pool(dataset.task, examples, dataset.size)


def _shrunk(image: Pixels, scale: float) -> Pixels:
    height, width = image.shape[:2]
    return resize(image, round(height / scale), round(width / scale), Image.Resampling.LANCZOS)


def _around(share: float, length: int, size: int, flow: FlowConfig) -> tuple[slice, slice]:
    """The rows, or columns, of a crop with its surroundings, and where the crop is in them.

    The surroundings are whole cells of `flow.multiple` pixels.
    """
    first = int(share * (length - size + 1))
    before = min(flow.guide_margin, first) // flow.multiple * flow.multiple
    after = min(flow.guide_margin, length - first - size) // flow.multiple * flow.multiple
    return slice(first - before, first + size + after), slice(before, before + size)
