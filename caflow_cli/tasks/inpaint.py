"""Inpainting: the condition is the picture around a hole, at model scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import EXIT_USAGE, CaflowError
from .base import Picture, check_same_size
from .hole_window import HoleWindow, marked
from .holes import HoleSource, central_hole, draw_hole
from .windows import Mask, plan_windows, window_around

if TYPE_CHECKING:
    import torch

    from ..config import Config

__all__ = ["Inpaint"]

_WHITE = 128  # a mask's values from here up are the hole


@dataclass(frozen=True)
class Inpaint:
    """Fills the hole of a picture of any size, and keeps all other pixels bit for bit.

    `parts` are the windows through which it is filled, one after the other: at native scale where
    the hole is thin and as deep as `rim`, shrunk where it is thick. They depend on the mask alone
    (`tasks.windows` has the rule). `condition`, `compose` and `reduce` are those of a single window
    around the whole hole, which is the only part of a hole that is seen as in training.

    With 4 channels the condition is RGB, 128 in the hole, and the mask (0 or 255); with 3, as the
    paper has it, RGB with a black hole.
    """

    cond_channels: int = 4
    size: int = 64
    multiple: int = 16  # of the flow's sides
    holes: str = "mixed"  # in training: "central" (25 %), "random" or "mixed"
    rim: int = 0  # pixels from the edge of a thick hole that are filled at native scale
    window: int = 0  # side of the windows, where pictures are larger than `size`; 0: `size`
    source: HoleSource | None = field(default=None, compare=False)  # draws them in place of `holes`

    name: ClassVar[str] = "inpaint"
    channels: ClassVar[tuple[int, ...]] = (4, 3)
    tau: ClassVar[float] = 0.5
    candidates: ClassVar[int] = 30
    needs_mask: ClassVar[bool] = True
    derives_condition: ClassVar[bool] = True

    @classmethod
    def of(cls, config: Config) -> Inpaint:
        """The task of a model's config."""
        task, flow = config.task, config.flow
        return cls(flow.cond_channels, task.size, flow.multiple, task.holes, task.rim, task.window)

    def model_size(self, image: Picture, mask: Picture | None = None) -> tuple[int, int]:
        side = self._side(image.shape)
        return side, side

    def parts(self, image: Picture, mask: Picture | None = None) -> Sequence[HoleWindow]:
        """The windows of the hole, in the order in which they are filled.

        Raises:
            CaflowError: The mask does not fit, is empty, or takes too many windows.
        """
        hole = self.hole(image, mask)
        left, found, side = hole.copy(), [], self._side(hole.shape)
        for window in plan_windows(hole, self._seen(hole.shape), self.rim):
            own = window.of(left).copy()
            earlier = window.of(hole) & ~own
            found.append(HoleWindow(window, own, earlier, self.cond_channels, side))
            window.of(left)[:] = False
        return found

    def condition(self, image: Picture, mask: Picture | None = None) -> Picture:
        """The window's known pixels, shrunk and padded: uint8 (h, w, cond_channels)."""
        return self._whole(image, mask).condition(image)

    def compose(self, image: Picture, draw: Picture, mask: Picture | None = None) -> Picture:
        """Enlarge the draw and put it into the hole of the picture."""
        return self._whole(image, mask).compose(image, draw)

    def reduce(
        self, image: Picture, target: Picture, mask: Picture | None = None
    ) -> tuple[Picture, Picture]:
        """Compute the windows of picture and target at model scale, padded.

        Raises:
            CaflowError: (exit 1) the target has another size than the picture.
        """
        check_same_size(image, target)
        return self._whole(image, mask).reduce(image, target)

    def settle(self, condition: Picture, draw: Picture) -> Picture:
        """Keep the draw in the hole, and known pixels outside. Of 3 channels, black is the hole."""
        if self.cond_channels == 4:
            hole = condition[..., 3:] >= _WHITE
        else:
            hole = (condition == 0).all(axis=-1, keepdims=True)
        return np.where(hole, draw, condition[..., :3])

    def settle_points(self, condition: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        if self.cond_channels == 4:
            hole = condition[:, 3:] >= _WHITE
        else:
            hole = (condition < 1).all(1, keepdim=True)
        return draw.where(hole, condition[:, :3])

    def training_condition(
        self, target: Picture, generator: torch.Generator | None = None
    ) -> Picture:
        """Mark a hole in the target, drawn by `generator`; without a generator, the central hole.

        uint8 (H, W, 3) to (H, W, cond_channels).
        """
        height, width = target.shape[:2]
        if generator is None:
            return marked(target, central_hole(height, width), self.cond_channels)
        if self.source is not None:
            return marked(target, self.source(height, width, generator), self.cond_channels)
        hole = draw_hole(self.holes, height, width, generator)
        return marked(target, hole, self.cond_channels)

    def held_out_condition(self, target: Picture, index: int) -> Picture:
        """Mark the hole of validation picture `index` in the target."""
        import torch  # here, so that the defaults above are had without it

        return self.training_condition(target, torch.Generator().manual_seed(index))

    def _seen(self, shape: tuple[int, ...]) -> int:
        """S, the side of the windows of a picture of that shape: no larger than it has to be."""
        return max(self.size, min(self.window, max(shape[:2])))

    def _side(self, shape: tuple[int, ...]) -> int:
        """The same, padded."""
        seen = self._seen(shape)
        return seen + -seen % self.multiple

    def _whole(self, image: Picture, mask: Picture | None) -> HoleWindow:
        """The window around the whole hole."""
        hole = self.hole(image, mask)
        window = window_around(hole, self._seen(hole.shape))
        inside = window.of(hole)
        earlier, side = np.zeros_like(inside), self._side(hole.shape)
        return HoleWindow(window, inside, earlier, self.cond_channels, side)

    def hole(self, image: Picture, mask: Picture | None) -> Mask:
        """Check the mask, and convert it to booleans (H, W).

        Raises:
            CaflowError: There is none (exit 2), it has another size, or nothing in it is white.
        """
        if mask is None:
            raise CaflowError("inpaint needs a mask", "--mask FILE, white = fill", EXIT_USAGE)
        height, width = image.shape[:2]
        if mask.shape[:2] != (height, width):
            raise CaflowError(
                f"the mask is {mask.shape[1]}x{mask.shape[0]}, the picture {width}x{height}",
                f"give a mask of {width}x{height}, white where the picture is to be filled",
            )
        hole = mask.reshape(height, width, -1)[..., 0] >= _WHITE
        if not hole.any():
            most = int(mask.reshape(height, width, -1)[..., 0].max())
            lit = f", its brightest value is {most}, and white is {_WHITE} and up" if most else ""
            raise CaflowError(
                f"the mask is empty: nothing in it is white{lit}",
                "paint what is to be filled white, all else black",
            )
        return hole
