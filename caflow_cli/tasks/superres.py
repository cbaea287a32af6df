"""Super-resolution: the condition is the small picture, enlarged by Pillow BICUBIC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from PIL import Image

from ..errors import EXIT_USAGE, CaflowError
from .base import Picture, pad

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SuperRes"]


@dataclass(frozen=True)
class SuperRes:
    """Pictures `factor` times larger.

    Both ways are Pillow BICUBIC with 8 bits after each: `F.interpolate` has another kernel, and a
    model is only as good as its condition is the one it was trained on.
    """

    factor: int = 4

    name: ClassVar[str] = "superres"
    cond_channels: ClassVar[int] = 3
    tau: ClassVar[float] = 0.5
    candidates: ClassVar[int] = 10

    def __post_init__(self) -> None:
        if self.factor < 2:
            raise CaflowError(f"factor is {self.factor}", "set factor to 2 or more", EXIT_USAGE)

    def degrade(self, target: Picture) -> Picture:
        """uint8 (H, W, 3) to (H / factor, W / factor, 3).

        Raises:
            CaflowError: A side is not a multiple of the factor.
        """
        height, width = target.shape[:2]
        s = self.factor
        if height % s or width % s or not target.size:
            raise CaflowError(
                f"a picture of {width}x{height} cannot shrink {s} times to whole pixels",
                f"crop it to {max(width // s, 1) * s}x{max(height // s, 1) * s}",
            )
        return _resize(target, width // s, height // s)

    def target_size(self, image: Picture) -> tuple[int, int]:
        """Height and width of the picture that comes out."""
        return self.factor * image.shape[0], self.factor * image.shape[1]

    def condition(self, image: Picture) -> Picture:
        """uint8 (h, w, 3) to (factor h, factor w, 3)."""
        height, width = image.shape[:2]
        return _resize(image, self.factor * width, self.factor * height)

    def compose(self, image: Picture, draw: Picture) -> Picture:
        """The draw, without its padding: uint8 (factor h, factor w, 3)."""
        height, width = image.shape[:2]
        return draw[: self.factor * height, : self.factor * width]

    def reduce(self, image: Picture, target: Picture, multiple: int) -> tuple[Picture, Picture]:
        """The condition of `image` and `target`, both padded to sides of `multiple`.

        Raises:
            CaflowError: (exit 1) the target is not exactly `factor` times the picture.
        """
        height, width = image.shape[:2]
        wanted = (self.factor * height, self.factor * width)
        if target.shape[:2] != wanted:
            raise CaflowError(
                f"the target is {target.shape[1]}x{target.shape[0]}, "
                f"the condition {width}x{height}",
                f"give a target of {wanted[1]}x{wanted[0]}, {self.factor} times the condition",
            )
        return pad(self.condition(image), multiple), pad(target, multiple)

    def training_pair(self, target: Picture) -> tuple[Picture, Picture]:
        """`condition(degrade(target))` and the target, both uint8 (H, W, 3)."""
        return self.condition(self.degrade(target)), target

    def conditions(self, images: Tensor) -> Tensor:
        """The condition of each target of a data set: uint8 (N, 3, H, W) to the same shape."""
        import torch  # here, so that the defaults above are had without it

        conditions = torch.empty_like(images, memory_format=torch.contiguous_format)
        source, result = images.permute(0, 2, 3, 1).numpy(), conditions.permute(0, 2, 3, 1).numpy()
        for row, target in enumerate(source):
            result[row] = self.condition(self.degrade(target))
        return conditions


def _resize(image: Picture, width: int, height: int) -> Picture:
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(resized)  # `asarray` would be read-only, which torch warns of
