"""The interface of all tasks, and functions that they share: padding, resizing, grey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..errors import CaflowError

if TYPE_CHECKING:
    import torch

__all__ = [
    "Part",
    "Picture",
    "Place",
    "Task",
    "as_read",
    "check_same_size",
    "grey",
    "pad",
    "padded_size",
    "resize",
    "scaled_size",
]

Picture = npt.NDArray[np.uint8]  # (H, W, C), 0-255; a mask is (H, W), white (128 and up) = fill


@dataclass(frozen=True)
class Place:
    """A part of the filling of a hole, as JSON states it."""

    window: tuple[int, int, int, int]  # left, top, width, height: what the model sees
    pixels: int  # of the hole, which are filled here
    shrunk: bool  # whether the model sees it smaller than it is


class Part(Protocol):
    """The work of one draw for a user's picture: all of it, or a window onto a hole.

    Parts are done one after the other: the next one sees what the last one composed.
    """

    @property
    def place(self) -> Place | None:
        """Where in the picture it is; None: it is all of the picture."""

    def condition(self, image: Picture) -> Picture:
        """Compute the condition of a picture: uint8 (h, w, cond_channels)."""

    def compose(self, image: Picture, draw: Picture) -> Picture:
        """Put a draw of the model's size into the picture, and round to 8 bits."""

    def reduce(self, image: Picture, target: Picture) -> tuple[Picture, Picture]:
        """Compute the pair (condition, target) that is scored, from the user's picture and a target
        in which this part and all before it are done.

        Raises:
            CaflowError: The size of the target does not fit the picture.
        """


class Task(Protocol):
    """Turns a user's picture into the model's condition, and the model's draw into a picture.

    A task that needs no mask ignores one. `inference.score.check_mask` refuses it earlier.
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
        """Temperature, if neither a flag nor the model's config states it."""

    @property
    def candidates(self) -> int:
        """Number of candidates, if neither a flag nor the model's config states it."""

    @property
    def needs_mask(self) -> bool:
        """Whether the task needs a mask with each picture."""

    @property
    def derives_condition(self) -> bool:
        """Whether the condition is computed from the target; otherwise the data set holds it."""

    def model_size(self, image: Picture, mask: Picture | None = None) -> tuple[int, int]:
        """Height and width of `condition(image, mask)`, without computing it."""

    def parts(self, image: Picture, mask: Picture | None = None) -> Sequence[Part]:
        """The parts that are drawn for a picture, one after the other. Most tasks have one."""

    def condition(self, image: Picture, mask: Picture | None = None) -> Picture:
        """Compute the condition from a user's picture, padded: uint8 (h, w, cond_channels)."""

    def compose(self, image: Picture, draw: Picture, mask: Picture | None = None) -> Picture:
        """Put a draw of the model's size into the user's picture. The result is written."""

    def reduce(
        self, image: Picture, target: Picture, mask: Picture | None = None
    ) -> tuple[Picture, Picture]:
        """Compute the pair (condition, target) that is scored, both of the model's size.

        Ranking and `score` both use this, so the score of a written file is the one that ranked it.

        Raises:
            CaflowError: The size of the target does not fit the picture.
        """

    def settle(self, condition: Picture, draw: Picture) -> Picture:
        """Compose a draw at model scale, if only the condition is known and not the picture.

        The result is scored without `reduce`, which would not change it.

        Args:
            condition: uint8 (h, w, cond_channels).
            draw: uint8 (h, w, 3).

        Returns:
            uint8 (h, w, 3).
        """

    def settle_points(self, condition: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        """The same of points in [0, 256), (B, C, H, W), with gradients of the draw."""
        ...

    def training_condition(
        self, target: Picture, generator: torch.Generator | None = None
    ) -> Picture:
        """Compute a condition for a training target: uint8 (H, W, 3) to (H, W, cond_channels).

        `generator` draws its random parts.

        Raises:
            CaflowError: The condition cannot be computed from the target (see `derives_condition`).
        """

    def held_out_condition(self, target: Picture, index: int) -> Picture:
        """Compute the condition of validation picture `index`, the same at each call."""


def pad(image: npt.NDArray[Any], multiple: int) -> npt.NDArray[Any]:
    """Pad a picture by reflection at the right and bottom until both sides are multiples.

    (H, W, ...) to (ceil(H / m) m, ceil(W / m) m, ...). A side of one pixel has nothing to reflect,
    so the pixel is repeated.
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
    """The height and width of the result of `pad`."""
    return height + -height % multiple, width + -width % multiple


def resize(image: npt.NDArray[Any], height: int, width: int) -> npt.NDArray[Any]:
    """Resize by Pillow BICUBIC: uint8 (H, W, 3) or (H, W), or float32 (H, W), to the same type."""
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(resized)  # `asarray` would be read-only, which torch warns of


def scaled_size(image: Picture, size: int) -> tuple[int, int]:
    """Height and width of a picture whose shorter side is brought to `size`, its aspect kept."""
    height, width = image.shape[:2]
    short = min(height, width)
    return (2 * height * size + short) // (2 * short), (2 * width * size + short) // (2 * short)


def grey(image: Picture) -> Picture:
    """Convert to grey by Pillow's `convert("L")`, Rec. 601 luma: uint8 (H, W, 3) to (H, W)."""
    return np.array(Image.fromarray(image).convert("L"))


def as_read(task: Task, image: Picture) -> Picture:
    """The picture in the colours that its condition has: uint8 (H, W, 3), grey if it has one."""
    return grey(image)[..., None].repeat(3, 2) if task.cond_channels == 1 else image


def check_same_size(image: Picture, target: Picture) -> None:
    """Refuse a target whose size is not the picture's: CaflowError (exit 1)."""
    (height, width), (h, w) = image.shape[:2], target.shape[:2]
    if (h, w) != (height, width):
        raise CaflowError(
            f"the target is {w}x{h}, the condition {width}x{height}",
            f"give a target of {width}x{height}, the size of the condition",
        )
