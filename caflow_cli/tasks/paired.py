"""Paired translation: the data set holds a condition for each target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..errors import EXIT_USAGE, CaflowError
from .base import Part, Picture, check_same_size, grey, pad, padded_size

if TYPE_CHECKING:
    import torch

__all__ = ["Paired"]


@dataclass(frozen=True)
class Paired:
    """Makes a picture of the condition's size, such as a photo from a sketch."""

    cond_channels: int = 3  # or 1: the grey of the picture
    multiple: int = 16  # of the flow's sides

    name: ClassVar[str] = "paired"
    channels: ClassVar[tuple[int, ...]] = (3, 1)
    tau: ClassVar[float] = 0.8
    candidates: ClassVar[int] = 10
    needs_mask: ClassVar[bool] = False
    place: ClassVar[None] = None
    derives_condition: ClassVar[bool] = False

    def model_size(self, image: Picture, mask: Picture | None = None) -> tuple[int, int]:
        return padded_size(image.shape[0], image.shape[1], self.multiple)

    def parts(self, image: Picture, mask: Picture | None = None) -> Sequence[Part]:
        return (self,)

    def condition(self, image: Picture, mask: Picture | None = None) -> Picture:
        """Pad the picture, or its grey: uint8 (h, w, cond_channels)."""
        return pad(grey(image)[..., None] if self.cond_channels == 1 else image, self.multiple)

    def compose(self, image: Picture, draw: Picture, mask: Picture | None = None) -> Picture:
        """Remove the draw's padding."""
        return draw[: image.shape[0], : image.shape[1]]

    def reduce(
        self, image: Picture, target: Picture, mask: Picture | None = None
    ) -> tuple[Picture, Picture]:
        """Pad condition and target.

        Raises:
            CaflowError: (exit 1) the target has another size than the picture.
        """
        check_same_size(image, target)
        return self.condition(image), pad(target, self.multiple)

    def settle(self, condition: Picture, draw: Picture) -> Picture:
        """Return the draw unchanged, because the condition determines none of its pixels."""
        return draw

    def training_condition(
        self, target: Picture, generator: torch.Generator | None = None
    ) -> Picture:
        raise CaflowError(
            "a paired model learns from pairs, not from targets alone",
            "--data with train/A and train/B",
            EXIT_USAGE,
        )

    def held_out_condition(self, target: Picture, index: int) -> Picture:
        return self.training_condition(target)
