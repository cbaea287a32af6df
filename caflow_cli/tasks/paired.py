"""Paired translation: the data set holds a condition for each target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..errors import EXIT_USAGE, CaflowError
from .base import Part, Picture, grey, pad, padded_size, resize, scaled_size

if TYPE_CHECKING:
    import torch

    from ..config import Config

__all__ = ["Paired"]


@dataclass(frozen=True)
class Paired:
    """Makes a picture from a condition, such as a photo from a sketch, at model scale.

    That is the condition's own scale where the model learned from parts of pictures (`native`).
    Else a condition of any size is resized by Pillow BICUBIC until its shorter side is `size`, with
    its aspect kept. The result has the size of the condition at model scale.
    """

    cond_channels: int = 3  # or 1: the grey of the picture
    size: int = 64  # the shorter side at model scale
    multiple: int = 16  # of the flow's sides
    native: bool = False  # whether model scale is the condition's own

    name: ClassVar[str] = "paired"
    channels: ClassVar[tuple[int, ...]] = (3, 1)
    tau: ClassVar[float] = 0.8
    candidates: ClassVar[int] = 10
    needs_mask: ClassVar[bool] = False
    place: ClassVar[None] = None
    derives_condition: ClassVar[bool] = False

    @classmethod
    def of(cls, config: Config) -> Paired:
        """The task of a model's config."""
        return cls(
            config.flow.cond_channels, config.task.size, config.flow.multiple, config.task.native
        )

    def model_size(self, image: Picture, mask: Picture | None = None) -> tuple[int, int]:
        return padded_size(*self._size(image), self.multiple)

    def parts(self, image: Picture, mask: Picture | None = None) -> Sequence[Part]:
        return (self,)

    def condition(self, image: Picture, mask: Picture | None = None) -> Picture:
        """Resize and pad the picture, or its grey: uint8 (h, w, cond_channels)."""
        size = self._size(image)
        small = image if image.shape[:2] == size else resize(image, *size)
        return pad(grey(small)[..., None] if self.cond_channels == 1 else small, self.multiple)

    def compose(self, image: Picture, draw: Picture, mask: Picture | None = None) -> Picture:
        """Remove the draw's padding."""
        height, width = self._size(image)
        return draw[:height, :width]

    def reduce(
        self, image: Picture, target: Picture, mask: Picture | None = None
    ) -> tuple[Picture, Picture]:
        """Compute the condition, and pad the target.

        Raises:
            CaflowError: (exit 1) the target does not have the condition's size at model scale.
        """
        height, width = self._size(image)
        if target.shape[:2] != (height, width):
            raise CaflowError(
                f"the target is {target.shape[1]}x{target.shape[0]}, the condition "
                f"{image.shape[1]}x{image.shape[0]}, which is {width}x{height} at model scale",
                f"give a target of {width}x{height}",
            )
        return self.condition(image), pad(target, self.multiple)

    def settle(self, condition: Picture, draw: Picture) -> Picture:
        """Return the draw unchanged, because the condition determines none of its pixels."""
        return draw

    def settle_points(self, condition: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        return draw

    def training_condition(
        self, target: Picture, generator: torch.Generator | None = None
    ) -> Picture:
        raise CaflowError(
            "a paired model learns from pairs, not from targets alone",
            "--data with train/A and train/B",
            EXIT_USAGE,
        )

    def _size(self, image: Picture) -> tuple[int, int]:
        """Height and width of a condition at model scale."""
        if self.native:
            return image.shape[0], image.shape[1]
        return scaled_size(image, self.size)

    def held_out_condition(self, target: Picture, index: int) -> Picture:
        return self.training_condition(target)
