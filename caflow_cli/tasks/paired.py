"""Paired translation: the condition is the picture that the data set holds for a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..errors import EXIT_USAGE, CaflowError
from .base import Picture, check_same_size, grey, pad, padded_size

if TYPE_CHECKING:
    import torch

__all__ = ["Paired"]


@dataclass(frozen=True)
class Paired:
    """Pictures of the condition's size, such as a photo of a sketch; taken whole and padded."""

    cond_channels: int = 3  # or 1: the grey of the picture
    multiple: int = 16  # of the flow's sides

    name: ClassVar[str] = "paired"
    channels: ClassVar[tuple[int, ...]] = (3, 1)
    tau: ClassVar[float] = 0.8
    candidates: ClassVar[int] = 10
    needs_mask: ClassVar[bool] = False
    derives_condition: ClassVar[bool] = False

    def model_size(self, image: Picture, mask: Picture | None = None) -> tuple[int, int]:
        return padded_size(image.shape[0], image.shape[1], self.multiple)

    def condition(self, image: Picture, mask: Picture | None = None) -> Picture:
        """The picture, or its grey, padded: uint8 (h, w, cond_channels)."""
        return pad(grey(image)[..., None] if self.cond_channels == 1 else image, self.multiple)

    def compose(self, image: Picture, draw: Picture, mask: Picture | None = None) -> Picture:
        """The draw, without its padding."""
        return draw[: image.shape[0], : image.shape[1]]

    def reduce(
        self, image: Picture, target: Picture, mask: Picture | None = None
    ) -> tuple[Picture, Picture]:
        """Condition and target, padded.

        Raises:
            CaflowError: (exit 1) the target has another size than the picture.
        """
        check_same_size(image, target)
        return self.condition(image), pad(target, self.multiple)

    def settle(self, condition: Picture, draw: Picture) -> Picture:
        """The draw as it is: the condition fixes none of its pixels."""
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
