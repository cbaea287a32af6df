"""Super-resolution: the condition is the small picture, enlarged by Pillow BICUBIC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ..errors import EXIT_USAGE, CaflowError
from .base import Picture, pad, padded_size, resize

if TYPE_CHECKING:
    import torch

__all__ = ["SuperRes"]


@dataclass(frozen=True)
class SuperRes:
    """Pictures `factor` times larger.

    Pictures are shrunk and enlarged by Pillow BICUBIC, rounded to 8 bits each time, as in training:
    the kernel of `F.interpolate` is another, and would give the model conditions that it does not
    know. A picture of any size is taken whole and padded.
    """

    factor: int = 4
    multiple: int = 16  # of the flow's sides

    name: ClassVar[str] = "superres"
    channels: ClassVar[tuple[int, ...]] = (3,)
    cond_channels: ClassVar[int] = 3
    tau: ClassVar[float] = 0.5
    candidates: ClassVar[int] = 10
    needs_mask: ClassVar[bool] = False
    derives_condition: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.factor < 2:
            raise CaflowError(f"factor is {self.factor}", "set factor to 2 or more", EXIT_USAGE)

    def degrade(self, target: Picture) -> Picture:
        """The picture a user would have: uint8 (H, W, 3) to (H / factor, W / factor, 3).

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
        return resize(target, height // s, width // s)

    def model_size(self, image: Picture, mask: Picture | None = None) -> tuple[int, int]:
        height, width = image.shape[:2]
        return padded_size(self.factor * height, self.factor * width, self.multiple)

    def condition(self, image: Picture, mask: Picture | None = None) -> Picture:
        """uint8 (h, w, 3) to (factor h, factor w, 3), padded."""
        return pad(self._enlarge(image), self.multiple)

    def compose(self, image: Picture, draw: Picture, mask: Picture | None = None) -> Picture:
        """The draw, without its padding: uint8 (factor h, factor w, 3)."""
        height, width = image.shape[:2]
        return draw[: self.factor * height, : self.factor * width]

    def reduce(
        self, image: Picture, target: Picture, mask: Picture | None = None
    ) -> tuple[Picture, Picture]:
        """The condition of `image` and `target`, both padded.

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
        return self.condition(image), pad(target, self.multiple)

    def settle(self, condition: Picture, draw: Picture) -> Picture:
        """The draw as it is: the condition fixes none of its pixels."""
        return draw

    def training_condition(
        self, target: Picture, generator: torch.Generator | None = None
    ) -> Picture:
        """The degraded target, enlarged again: uint8 (H, W, 3) to the same shape."""
        return self._enlarge(self.degrade(target))

    def held_out_condition(self, target: Picture, index: int) -> Picture:
        return self.training_condition(target)

    def _enlarge(self, image: Picture) -> Picture:
        return resize(image, self.factor * image.shape[0], self.factor * image.shape[1])
