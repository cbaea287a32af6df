"""Colorization: the condition is the picture's grey, whose luminance is kept at full size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from .base import Part, Picture, check_same_size, grey, pad, padded_size, resize, scaled_size
from .chroma import carry

if TYPE_CHECKING:
    import torch

    from ..config import Config

__all__ = ["Colorize"]

_R, _G, _B = 19595, 38470, 7471  # Rec. 601 in 65536ths, as Pillow has them
_ONE = _R + _G + _B
_STRIP = 2**20  # pixels composed at a time
_LEAST = 1e-3  # levels: less chroma is none, and is divided by no less


@dataclass(frozen=True)
class Colorize:
    """Adds colours to a grey picture of any size.

    Colour is made at model scale: the picture is resized by Pillow BICUBIC until its shorter side
    is `size`, with its aspect kept, and then padded. Only the chroma of the draw is used. It is
    enlarged, added to the luminance of the picture, and shrunk towards grey until it is in gamut.
    """

    size: int = 64  # the shorter side at model scale
    multiple: int = 16  # of the flow's sides

    name: ClassVar[str] = "colorize"
    channels: ClassVar[tuple[int, ...]] = (1,)
    cond_channels: ClassVar[int] = 1
    tau: ClassVar[float] = 0.85
    candidates: ClassVar[int] = 10
    needs_mask: ClassVar[bool] = False
    place: ClassVar[None] = None
    derives_condition: ClassVar[bool] = True

    @classmethod
    def of(cls, config: Config) -> Colorize:
        """The task of a model's config."""
        return cls(config.task.size, config.flow.multiple)

    def model_size(self, image: Picture, mask: Picture | None = None) -> tuple[int, int]:
        return padded_size(*self._scale(image), self.multiple)

    def parts(self, image: Picture, mask: Picture | None = None) -> Sequence[Part]:
        return (self,)

    def condition(self, image: Picture, mask: Picture | None = None) -> Picture:
        """Compute the grey of the picture at model scale, padded: uint8 (h, w, 1)."""
        return pad(resize(grey(image), *self._scale(image)), self.multiple)[..., None]

    def compose(self, image: Picture, draw: Picture, mask: Picture | None = None) -> Picture:
        """Add the draw's chroma to the picture. `convert("L")` gives the same before and after.

        Each pixel is `L + k (draw - Y)`, with the luma Y of the draw and the grey L of the picture.
        k <= 1 is as large as [0, 255] allows.
        """
        height, width = image.shape[:2]
        h, w = self._scale(image)
        level = grey(image)
        red, green, blue = carry(_chroma(draw[:h, :w]), resize(level, h, w), level)
        result = np.empty((height, width, 3), np.uint8)
        rows = max(1, _STRIP // width)
        for top in range(0, height, rows):
            part = slice(top, top + rows)
            result[part] = _tint(level[part], red[part], green[part], blue[part])
        return result

    def reduce(
        self, image: Picture, target: Picture, mask: Picture | None = None
    ) -> tuple[Picture, Picture]:
        """Resize the target to model scale and compute its grey there, both padded.

        If the target has another luminance than the picture, the difference of their greys at model
        scale is added to the condition. So the target is scored under the picture's luminance.

        Raises:
            CaflowError: (exit 1) the target has another size than the picture.
        """
        check_same_size(image, target)
        h, w = self._scale(image)
        small = resize(target, h, w)
        wanted, found = (resize(grey(x), h, w).astype(np.int16) for x in (image, target))
        level = np.clip(grey(small) + wanted - found, 0, 255).astype(np.uint8)
        return pad(level[..., None], self.multiple), pad(small, self.multiple)

    def settle(self, condition: Picture, draw: Picture) -> Picture:
        """Replace the draw's luminance by that of the condition."""
        return _tint(condition[..., 0], *_chroma(draw))

    def settle_points(self, condition: torch.Tensor, draw: torch.Tensor) -> torch.Tensor:
        """`L + k (draw - Y)`, as `compose` has it; k keeps to the middles of the 256 levels."""
        luma = draw.new_tensor([_R, _G, _B]).div(_ONE)[:, None, None]
        chroma = draw - (draw * luma).sum(1, keepdim=True)
        room = ((255.5 - condition) / chroma.clamp_min(_LEAST)).minimum(
            (condition - 0.5) / (-chroma).clamp_min(_LEAST)
        )
        return condition + chroma * room.amin(1, keepdim=True).clamp(max=1)

    def training_condition(
        self, target: Picture, generator: torch.Generator | None = None
    ) -> Picture:
        """Compute the grey of the target: uint8 (H, W, 3) to (H, W, 1)."""
        return grey(target)[..., None]

    def held_out_condition(self, target: Picture, index: int) -> Picture:
        return self.training_condition(target)

    def _scale(self, image: Picture) -> tuple[int, int]:
        """Height and width at model scale, unpadded."""
        return scaled_size(image, self.size)


def _chroma(draw: Picture) -> list[npt.NDArray[np.float32]]:
    """Red, green and blue, each minus the luma: (H, W) each."""
    values = draw.astype(np.float32)
    luma = (values @ np.array([_R, _G, _B], np.float32)) / _ONE
    return [np.asarray(values[..., c] - luma, np.float32) for c in range(3)]


def _tint(
    level: Picture,
    red: npt.NDArray[np.float32],
    green: npt.NDArray[np.float32],
    blue: npt.NDArray[np.float32],
) -> Picture:
    """Colour the grey `level` with chroma, all (H, W), shrunk into gamut: uint8 (H, W, 3)."""
    luma = level.astype(np.float32)
    keep = np.ones_like(luma)
    for chroma in (red, green, blue):
        room = np.where(chroma > 0, 255 - luma, luma)
        size = np.abs(chroma)
        np.minimum(keep, np.divide(room, size, out=np.ones_like(luma), where=size > room), out=keep)
    r, b = (np.rint(luma + keep * chroma).clip(0, 255) for chroma in (red, blue))
    # Green last, with the largest weight: it takes up the rounding of the other two, so that the
    # luminance comes out exact.
    g = np.rint((float(_ONE) * luma - _R * r - _B * b) / _G).clip(0, 255)
    return np.stack([r, g, b], axis=-1).astype(np.uint8)
