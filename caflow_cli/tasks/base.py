"""What every task offers, and the padding they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Picture", "Task", "pad"]

Picture = npt.NDArray[np.uint8]  # (H, W, C), 0-255


class Task(Protocol):
    """From a user's picture to the model's condition, and from the model's draw to a picture."""

    @property
    def name(self) -> str:
        """As in a model's config and on the command line."""

    @property
    def cond_channels(self) -> int:
        """Channels of the condition."""

    @property
    def tau(self) -> float:
        """Temperature, where neither a flag nor the model's config says."""

    @property
    def candidates(self) -> int:
        """Draws a picture, where neither a flag nor the model's config says."""

    def degrade(self, target: Picture) -> Picture:
        """The picture a user would have, from the true one."""

    def target_size(self, image: Picture) -> tuple[int, int]:
        """Height and width of the picture that comes out, before any work."""

    def condition(self, image: Picture) -> Picture:
        """The model's condition of a user's picture, at the target's size."""

    def compose(self, image: Picture, draw: Picture) -> Picture:
        """The picture that is written, from a user's picture and a draw (padded or not)."""

    def reduce(self, image: Picture, target: Picture, multiple: int) -> tuple[Picture, Picture]:
        """The (condition, target) pair that is scored, with sides of `multiple`.

        Ranking and `score` both go through here, so a written file scores what ranked it.
        """

    def training_pair(self, target: Picture) -> tuple[Picture, Picture]:
        """(condition, target) from the true picture alone."""

    def conditions(self, images: Tensor) -> Tensor:
        """The condition of each training picture, (N, C, H, W) to (N, cond_channels, H, W)."""


def pad(image: Picture, multiple: int) -> Picture:
    """The picture with its right and bottom reflected until both sides are multiples.

    uint8 (H, W, C) to (ceil(H / m) m, ceil(W / m) m, C). A side of one pixel has nothing to reflect
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
