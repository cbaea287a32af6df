"""Super-resolution: the condition is the small picture, enlarged by Pillow BICUBIC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import EXIT_USAGE, CaflowError
from .base import Part, Picture, grey, pad, padded_size, resize
from .degradation import shrink_as_photo

if TYPE_CHECKING:
    import torch

    from ..config import Config

__all__ = ["SuperRes"]


@dataclass(frozen=True)
class SuperRes:
    """Makes pictures that are `factor` times larger.

    As in training, pictures are shrunk and enlarged by Pillow BICUBIC and rounded to 8 bits each
    time. `F.interpolate` has another kernel, and would give the model unfamiliar conditions. A
    picture of any size is taken whole and padded.
    """

    factor: int = 4
    multiple: int = 16  # of the flow's sides
    inputs: str = "clean"  # of training: shrunk by BICUBIC; or "photo": by `shrink_as_photo`

    name: ClassVar[str] = "superres"
    channels: ClassVar[tuple[int, ...]] = (3,)
    cond_channels: ClassVar[int] = 3
    tau: ClassVar[float] = 0.5
    candidates: ClassVar[int] = 10
    needs_mask: ClassVar[bool] = False
    place: ClassVar[None] = None
    derives_condition: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.factor < 2:
            raise CaflowError(f"factor is {self.factor}", "set factor to 2 or more", EXIT_USAGE)

    @classmethod
    def of(cls, config: Config) -> SuperRes:
        """The task of a model's config."""
        return cls(config.task.factor, config.flow.multiple, config.task.degrade)

    def degrade(self, target: Picture) -> Picture:
        """Shrink a picture to a user's input: uint8 (H, W, 3) to (H / factor, W / factor, 3).

        Raises:
            CaflowError: A side is not a multiple of the factor.
        """
        height, width = self._size(target)
        return resize(target, height // self.factor, width // self.factor)

    def _size(self, target: Picture) -> tuple[int, int]:
        """Height and width. CaflowError where one is not a multiple of the factor."""
        height, width = target.shape[:2]
        s = self.factor
        if height % s or width % s or not target.size:
            raise CaflowError(
                f"a picture of {width}x{height} cannot be shrunk {s} times to whole pixels",
                f"crop it to {max(width // s, 1) * s}x{max(height // s, 1) * s}",
            )
        return height, width

    def model_size(self, image: Picture, mask: Picture | None = None) -> tuple[int, int]:
        height, width = image.shape[:2]
        return padded_size(self.factor * height, self.factor * width, self.multiple)

    def parts(self, image: Picture, mask: Picture | None = None) -> Sequence[Part]:
        return (self,)

    def condition(self, image: Picture, mask: Picture | None = None) -> Picture:
        """Enlarge a picture: uint8 (h, w, 3) to (factor h, factor w, 3), padded."""
        return pad(self._enlarge(image), self.multiple)

    def compose(self, image: Picture, draw: Picture, mask: Picture | None = None) -> Picture:
        """Remove the draw's padding, and its colours if the picture has none.

        uint8 (factor h, factor w, 3). The grey is Pillow's `convert("L")`.
        """
        height, width = image.shape[:2]
        result = draw[: self.factor * height, : self.factor * width]
        if np.ptp(image, axis=-1).any():
            return result
        return np.repeat(grey(np.ascontiguousarray(result))[..., None], 3, 2)

    def reduce(
        self, image: Picture, target: Picture, mask: Picture | None = None
    ) -> tuple[Picture, Picture]:
        """Compute the condition from `image`; both it and `target` are padded.

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
        """Return the draw unchanged, because the condition determines none of its pixels."""
        return draw

    def settle_points(self, condition: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        return draw

    def training_condition(
        self, target: Picture, generator: torch.Generator | None = None
    ) -> Picture:
        """Degrade the target and enlarge it again: uint8 (H, W, 3) to the same shape.

        Without a generator it is degraded by BICUBIC, whatever `inputs` is.
        """
        if self.inputs == "photo" and generator is not None:
            self._size(target)
            return self._enlarge(shrink_as_photo(target, self.factor, generator))
        return self._enlarge(self.degrade(target))

    def held_out_condition(self, target: Picture, index: int) -> Picture:
        return self.training_condition(target)

    def _enlarge(self, image: Picture) -> Picture:
        return resize(image, self.factor * image.shape[0], self.factor * image.shape[1])
