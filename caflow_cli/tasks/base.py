"""The interface of every task, and what tasks share: padding, resizing, grey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import CaflowError

if TYPE_CHECKING:
    import torch

__all__ = ["Picture", "Task", "check_same_size", "grey", "pad", "padded_size", "resize"]

Picture = npt.NDArray[np.uint8]  # (H, W, C), 0-255; a mask is (H, W), white (128 and up) = fill


class Task(Protocol):
    """From a user's picture to the model's condition, and from the model's draw to a picture.

    A task that needs no mask ignores one; `inference.score.check_mask` refuses it before.
    """

    @property
    def name(self) -> str:
        """The task's name in a model's config and on the command line."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Numbers of channels that the condition may have; the first is the default."""

    @property
    def cond_channels(self) -> int:
        """Channels of this task's condition."""

    @property
    def tau(self) -> float:
        """Temperature, where neither a flag nor the model's config says."""

    @property
    def candidates(self) -> int:
        """Draws a picture, where neither a flag nor the model's config says."""

    @property
    def needs_mask(self) -> bool:
        """Whether a mask comes with the picture."""

    @property
    def derives_condition(self) -> bool:
        """Whether the condition follows from the target; otherwise the data set holds it."""

    def model_size(self, image: Picture, mask: Picture | None = None) -> tuple[int, int]:
        """Height and width of `condition(image, mask)`, before any work."""

    def condition(self, image: Picture, mask: Picture | None = None) -> Picture:
        """The model's condition of a user's picture, padded: uint8 (h, w, cond_channels)."""

    def compose(self, image: Picture, draw: Picture, mask: Picture | None = None) -> Picture:
        """The picture that is written: a draw of the model's size, put into the user's picture."""

    def reduce(
        self, image: Picture, target: Picture, mask: Picture | None = None
    ) -> tuple[Picture, Picture]:
        """The pair that is scored, (condition, target), both of the model's size.

        Ranking and `score` both reduce, so the score of a written file is the one that ranked it.

        Raises:
            CaflowError: The target's size does not fit the picture's.
        """

    def settle(self, condition: Picture, draw: Picture) -> Picture:
        """Compose a draw at model scale, where only the condition is known, not the picture.

        What comes out is scored as it is: `reduce` would not change it.

        Args:
            condition: uint8 (h, w, cond_channels).
            draw: uint8 (h, w, 3).

        Returns:
            uint8 (h, w, 3).
        """

    def training_condition(
        self, target: Picture, generator: torch.Generator | None = None
    ) -> Picture:
        """A condition of a training target: uint8 (H, W, 3) to (H, W, cond_channels).

        Random parts of it come from `generator`.

        Raises:
            CaflowError: The condition does not follow from the target (`derives_condition`).
        """

    def held_out_condition(self, target: Picture, index: int) -> Picture:
        """The condition of validation picture `index`, the same every time."""


def pad(image: npt.NDArray[Any], multiple: int) -> npt.NDArray[Any]:
    """Reflect a picture at its right and bottom until both sides are multiples.

    (H, W, ...) to (ceil(H / m) m, ceil(W / m) m, ...). A side of one pixel has nothing to reflect
    and is repeated.
    """
    for axis in (0, 1):
        missing = -image.shape[axis] % multiple
        if missing:
            widths = [(0, 0)] * image.ndim
            widths[axis] = (0, missing)
            mode = "reflect" if image.shape[axis] > 1 else "edge"
            image = np.pad(image, widths, mode=mode)  # type: ignore[call-overload]
    return image


def padded_size(height: int, width: int, multiple: int) -> tuple[int, int]:
    """Height and width of what `pad` returns."""
    return height + -height % multiple, width + -width % multiple


def resize(image: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """Resize by Pillow BICUBIC: uint8 (H, W, 3) or (H, W), or float32 (H, W), to the same type."""
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(resized)  # `asarray` would be read-only, which torch warns of


def grey(image: Picture) -> Picture:
    """Pillow's `convert("L")`, the luma of Rec. 601: uint8 (H, W, 3) to (H, W)."""
    return np.array(Image.fromarray(image).convert("L"))


def check_same_size(image: Picture, target: Picture) -> None:
    """Refuse a target of another height or width than the picture's: CaflowError, exit code 1."""
    (height, width), (h, w) = image.shape[:2], target.shape[:2]
    if (h, w) != (height, width):
        raise CaflowError(
            f"the target is {w}x{h}, the condition {width}x{height}",
            f"give a target of {width}x{height}, the size of the condition",
        )
